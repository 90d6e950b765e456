package chat

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"corridor/internal/eventlog"
	"corridor/internal/pgtest"
)

// waiting is how many have the turn of a name or wait for it.
func (t *turns) waiting(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[name] == nil {
		return 0
	}
	return t.of[name].users
}

func TestWhoWaitsForARosterHoldsUpNoOtherClinic(t *testing.T) {
	t.Parallel()
	s, db, ann, conversation := aClinic(t)
	if _, err := db.Exec(`SELECT setval(pg_get_serial_sequence('streams', 'number'), (SELECT max(number) FROM streams))`); err != nil {
		t.Fatal(err)
	}
	partner := clinicOf(t, s, "Partner clinic", "Pia: Lab", "Quin: Lab")
	roster := db.MustBegin() // stands for another instance that writes a roster
	defer func() { _ = roster.Rollback() }()
	roster.MustExec(`SELECT FROM clinics WHERE name = 'Partner clinic' FOR NO KEY UPDATE`)
	pieces := 2 * cap(s.writers)
	var group sync.WaitGroup
	for n := range pieces {
		group.Go(func() {
			in := SyncRosterInput{ClientKey: fmt.Sprint(n), Rows: []*RosterRowInput{{Email: text("pia@x.example"), Active: true}}}
			if n%2 > 0 {
				in.ClientKey = "the same"
			}
			if _, err := s.SyncRoster(context.Background(), partner, in); err != nil {
				t.Error(err)
			}
		})
	}
	pgtest.Eventually(t, "all pieces wait", func() bool { return s.clinics.waiting("Partner clinic") == pieces && len(s.writers) == 1 })

	_, err := s.SendMessage(t.Context(), ann, SendMessageInput{ClientKey: "hello", ConversationID: conversation, Body: "hello"})

	if err != nil || s.clinics.waiting("Partner clinic") != pieces {
		t.Errorf("a message of another clinic came to %v, with %d pieces waiting", err, s.clinics.waiting("Partner clinic"))
	}
	if err := roster.Rollback(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if len(s.clinics.of) > 0 || len(s.writers) > 0 {
		t.Errorf("in the end %d turns and %d places are taken", len(s.clinics.of), len(s.writers))
	}
}

func TestAWholeRosterIsBusyUntilItIsWritten(t *testing.T) {
	t.Parallel()
	s, database := newService(t)
	db := database.Open()
	logger := slog.New(slog.DiscardHandler)
	another := New(db, eventlog.New(db, eventlog.ByPostgres(db, database.URL), []byte("key"), logger), logger)
	partner := clinicOf(t, s, "Clinic", "Ann: Lab")
	id, _ := sends(t, s, partner, "first", persons("Ann: Desk")...)
	slow := db.MustBegin() // makes it take its time
	defer func() { _ = slow.Rollback() }()
	slow.MustExec(`SELECT FROM clinics WHERE name = 'Clinic' FOR NO KEY UPDATE`)
	finish := FinishRosterSyncInput{ClientKey: "end", SyncID: id}
	written := make(chan error)
	go func() {
		_, err := s.FinishRosterSync(context.Background(), partner, finish)
		written <- err
	}()
	pgtest.Eventually(t, "it is written", func() (is bool) {
		return db.Get(&is, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`) == nil && is
	})

	_, here := s.FinishRosterSync(t.Context(), partner, finish)
	_, there := another.FinishRosterSync(t.Context(), partner, finish)

	if codeOf(here) != CodeBusy || codeOf(there) != CodeBusy || len(s.writers) > 0 {
		t.Errorf("meanwhile it is %v, on another instance %v, and takes %d places", here, there, len(s.writers))
	}
	if err := slow.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if summary, err := another.FinishRosterSync(t.Context(), partner, finish); err != nil || summary.Joined != 1 {
		t.Errorf("then it came to %+v, %v", summary, err)
	}
}

func TestWhoDoesNotGetATurnIsBusy(t *testing.T) {
	t.Parallel()
	var turns turns
	give, err := turns.take(t.Context(), "Clinic", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()

	_, late := turns.take(t.Context(), "Clinic", time.Millisecond)
	_, left := turns.take(gone, "Clinic", time.Minute)
	elsewhere, err := turns.take(t.Context(), "Elsewhere", 0)

	if codeOf(late) != CodeBusy || left == nil || err != nil {
		t.Errorf("who is late heard %v, who left %v, and at another clinic it was %v", late, left, err)
	}
	give()
	elsewhere()
	if len(turns.of) > 0 {
		t.Errorf("%d turns are kept", len(turns.of))
	}
}
