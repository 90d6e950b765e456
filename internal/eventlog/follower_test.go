package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

func TestAFollowerBeginsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	one, other := w.stream(), w.stream()
	w.opens(one, "opened", ann)
	w.opens(other, "other-opened", ann)
	w.numbers(l)
	w.says(one, "not-numbered-yet")

	stream := w.follows(l, ann, "")
	w.says(one, "a")
	w.says(other, "b")
	w.refreshes(l)

	check(t, "at first", sorted(stream.hears()), "a b")
	w.numbers(l)
	w.refreshes(l)
	check(t, "once they are numbered", stream.hears(), "")
}

func sorted(words string) string {
	fields := strings.Fields(words)
	for i := range fields {
		for j := range fields[:i] {
			if fields[i] < fields[j] {
				fields[i], fields[j] = fields[j], fields[i]
			}
		}
	}
	return strings.Join(fields, " ")
}

func TestAFollowerHearsOnlyWhatIsTheirs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	bob := uuid.New()
	mine, theirs, secret := w.private(ann), w.private(bob), w.stream()
	stream := w.follows(l, ann, "")

	w.says(mine, "for-ann")
	w.says(theirs, "for-bob")
	w.says(secret, "for-nobody")

	w.refreshes(l)
	check(t, "not numbered", stream.hears(), "for-ann")
	w.says(theirs, "for-bob-again")
	w.numbers(l)
	w.refreshes(l)
	check(t, "numbered", stream.hears(), "")
	check(t, "from the beginning", w.follows(l, ann, cursor{incarnation: w.incarnation()}.encode(testKey, ann)).hears(), "for-ann")
}

func (w *world) incarnation() (incarnation int64) {
	w.t.Helper()
	w.must(w.db.Get(&incarnation, `SELECT incarnation FROM feed_state`))
	return incarnation
}

func TestAnEventIsDeliveredWithAllThatItSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	bob := uuid.New()
	mine := w.private(ann)
	stream := w.follows(l, ann, "")

	want := w.appends(Event{Stream: mine, Kind: "line", Actor: ann, Subject: bob, Object: uuid.New(), Opens: []uuid.UUID{bob}})

	w.refreshes(l)
	got := stream.next()
	if got.Event.Stream != mine || got.Event.Seq != 1 || got.Event.Actor != ann || got.Event.Scope != uuid.Nil ||
		got.Event.Subject != bob || got.Event.Object != want.Object || len(got.Event.Opens) != 1 || got.Event.Opens[0] != bob ||
		got.Event.Closes != nil || !got.Event.OccurredAt.Equal(want.OccurredAt) || !got.At.Equal(want.OccurredAt) {
		t.Errorf("got %+v, want %+v", got.Event, want)
	}
}

func TestAFollowerResumesFromEveryCursorOnAnyProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.still(), w.still()
	one, two := w.private(ann), w.private(ann)
	stream := w.follows(first, ann, "")
	said := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	cursors := []string{stream.cursor}
	for i, kind := range said {
		w.says([]int64{one, two}[i%2], kind)
		w.refreshes(first)
		if i%3 == 2 {
			w.numbers(first)
		}
		check(t, "heard", stream.hears(), kind)
		cursors = append(cursors, stream.cursor)
	}

	for _, when := range []string{"before all are numbered", "when all are numbered"} {
		for i, cursor := range cursors {
			resumed := w.follows(second, ann, cursor)
			w.refreshes(second)
			check(t, fmt.Sprint(when, ", from ", i), sorted(resumed.hears()), strings.Join(said[i:], " "))
			resumed.Close()
		}
		w.numbers(first)
	}
}

func TestANewEventIsDeliveredBeforeItIsNumberedAndOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	mine := w.private(ann)
	stream := w.follows(l, ann, "")

	w.says(mine, "a b")
	w.refreshes(l)

	check(t, "not numbered", stream.hears(), "a b")
	before := stream.cursor
	check(t, "resumed", w.follows(l, ann, before).hears(), "")
	w.numbers(l)
	check(t, "numbered, not refreshed", stream.hears(), "")
	check(t, "resumed when numbered", w.follows(l, ann, before).hears(), "")
	w.refreshes(l)
	w.says(mine, "c")
	w.refreshes(l)
	check(t, "the next", stream.hears(), "c")
	check(t, "the next, resumed", w.follows(l, ann, before).hears(), "c")
}

func TestWhatOpensAStreamWaitsForItsNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	group := w.stream()
	w.says(group, "secret")
	stream := w.follows(l, ann, "")

	w.opens(group, "opened", ann)
	w.says(group, "a")
	w.refreshes(l)

	check(t, "not numbered", stream.hears(), "")
	stream.isDeaf()
	w.numbers(l)
	w.refreshes(l)
	w.rings("for what is opened", stream.bell)
	w.says(group, "b")
	w.refreshes(l)
	check(t, "numbered", stream.hears(), "opened a b")
}

func TestTheClosingEventIsTheLast(t *testing.T) {
	t.Parallel()
	for _, numbered := range []bool{false, true} {
		w := newWorld(t)
		l := w.still()
		group := w.stream()
		w.opens(group, "opened", ann)
		stream := w.follows(l, ann, "")
		beginning := stream.cursor

		w.says(group, "a")
		w.closes(group, "closed", ann)
		w.says(group, "secret")

		late := w.follows(l, ann, beginning)
		if numbered {
			w.numbers(l)
		}
		w.refreshes(l)
		check(t, "heard", stream.hears(), "a closed")
		check(t, "heard by who came back in between", late.hears(), "a closed")
		end := stream.cursor
		w.says(group, "secret")
		w.numbers(l)
		w.refreshes(l)
		check(t, "heard after that", stream.hears(), "")
		check(t, "resumed from the end", w.follows(l, ann, end).hears(), "")
		check(t, "resumed from the beginning", w.follows(l, ann, beginning).hears(), "a closed")
	}
}

func TestWhoComesAgainSeesNothingOfTheGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	group := w.stream()
	w.opens(group, "opened", ann)
	stream := w.follows(l, ann, "")
	beginning := stream.cursor
	const want = "a closed again b closed-again"

	w.says(group, "a")
	w.closes(group, "closed", ann)
	w.refreshes(l)
	heard := stream.hears()
	w.says(group, "secret")
	w.opens(group, "again", ann)
	w.says(group, "b")
	w.closes(group, "closed-again", ann)
	w.says(group, "secret")

	w.refreshes(l)
	check(t, "heard before the numbering", heard+stream.hears(), "a closed")
	w.numbers(l)
	w.refreshes(l)
	check(t, "heard in the end", heard+" "+stream.hears(), want)
	check(t, "resumed from the beginning", w.follows(l, ann, beginning).hears(), want)
}

// Lists show what was revealed. A stream begins with what opened it, for who was there and for who
// comes later.
func TestRevealedHistoryIsNotReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	group := w.stream()
	stream := w.follows(l, ann, "")
	beginning := stream.cursor

	w.says(group, "a b")
	w.appends(Event{Stream: group, Kind: "opened", Opens: []uuid.UUID{ann}, RevealFrom: 1})
	w.says(group, "c")

	check(t, "resumed before the numbering", w.follows(l, ann, beginning).hears(), "")
	w.numbers(l)
	w.refreshes(l)
	check(t, "heard", stream.hears(), "opened c")
	check(t, "resumed", w.follows(l, ann, beginning).hears(), "opened c")
}

func TestMoreThan64StreamsAheadWaitForTheNumbering(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, other := w.still(), w.still()
	streams := make([]int64, maxAhead+6)
	for i := range streams {
		streams[i] = w.private(ann)
	}
	stream := w.follows(l, ann, "")
	heard := map[string]int{}
	hears := func(e *ear) (n int) {
		for _, kind := range strings.Fields(e.hears()) {
			heard[kind]++
			n++
		}
		if e.at.ahead == nil || len(e.at.ahead) > maxAhead {
			t.Errorf("the cursor has %d exceptions", len(e.at.ahead))
		}
		return n
	}
	say := func(round int) {
		for i, stream := range streams {
			w.says(stream, fmt.Sprint("r", round, "s", i))
		}
		w.refreshes(l)
	}

	say(1)
	check(t, "the first round", hears(stream), maxAhead)
	say(2)
	check(t, "the second round, of the same streams", hears(stream), maxAhead)
	w.refreshes(other)
	check(t, "resumed", w.follows(other, ann, stream.cursor).hears(), "")
	w.numbers(l)
	say(3)

	check(t, "all that was held back, and the third round", hears(stream), 6+6+len(streams)-6)
	w.numbers(l)
	w.refreshes(l)
	hears(stream)
	check(t, "exceptions in the end", len(stream.at.ahead), 0)
	check(t, "different events", len(heard), 3*len(streams))
	for kind, times := range heard {
		check(t, kind, times, 1)
	}
}

func TestHereGoesOnBehindALists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	mine, group := w.private(ann), w.stream()
	w.opens(group, "opened", ann)
	w.numbers(l)
	w.says(mine, "listed")
	w.closes(group, "listed", ann)
	w.says(group, "secret")

	var here string
	tx, err := w.db.BeginTxx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	w.must(err)
	w.must(tx.GetContext(t.Context(), new(int), `SELECT count(*) FROM events`))
	w.says(mine, "a")
	w.numbers(l)
	w.says(mine, "b")
	here, err = l.Here(t.Context(), tx, ann)
	w.must(err)
	w.must(tx.Rollback())

	stream := w.follows(l, ann, here)
	w.refreshes(l)
	check(t, "heard", stream.hears(), "a b")
}

// Whoever writes has a snapshot for each statement, and what was committed before may be numbered between two.
func TestHereIsOneMomentAlsoForThoseWhoWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	mine := w.private(ann)
	w.says(mine, "before")
	other, err := w.db.BeginTxx(t.Context(), nil)
	w.must(err)
	defer other.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	// Here comes as far as this table.
	_, err = other.Exec(`LOCK TABLE spans IN ACCESS EXCLUSIVE MODE`)
	w.must(err)
	var here string
	done := make(chan error, 1)
	go func() {
		done <- w.inTx(func(ctx context.Context, tx *sqlx.Tx) (err error) {
			here, err = l.Here(ctx, tx, ann)
			return err
		})
	}()
	w.eventually("somebody waits for the table", func() bool {
		var waits bool
		w.must(w.db.Get(&waits, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'spans'::regclass)`))
		return waits
	})

	w.numbers(l)
	w.must(other.Commit())
	w.must(<-done)
	w.says(mine, "after")

	stream := w.follows(l, ann, here)
	w.refreshes(l)
	check(t, "heard", stream.hears(), "after")
}

func TestAGapThatCanNotBeFilledIsAReset(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(w *world, l *Log){
		"below the floor": func(w *world, l *Log) {
			w.numbers(l)
			_, err := l.trim(t.Context(), 0)
			w.must(err)
		},
		"of another database": func(w *world, _ *Log) { w.exec(`UPDATE feed_state SET incarnation = incarnation + 1`) },
		"of the future": func(w *world, _ *Log) {
			w.exec(`TRUNCATE feed, unnumbered`)
			w.exec(`UPDATE feed_state SET head = 0`)
		},
	} {
		w := newWorld(t)
		l := w.still()
		mine := w.private(ann)
		w.says(mine, "a")
		w.numbers(l)
		old := w.follows(l, ann, "").cursor
		w.says(mine, "lost")

		breaks(w, l)

		stream := w.resumes(w.still(), ann, old)
		first := stream.next()
		check(t, name+": the first is a reset", first.Reset && first.Event == nil, true)
		check(t, name+": behind it", stream.hears(), "")
		w.says(mine, "b")
		w.numbers(l)
		again := w.follows(w.still(), ann, first.Cursor)
		w.refreshes(stream.log)
		check(t, name+": the stream goes on", stream.hears(), "b")
		check(t, name+": the cursor of the reset resumes", again.hears(), "b")
	}
}

// A list that was read from a standby may hold what its own database is about to show.
func TestACursorThatIsAheadForAMomentIsNoReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbering := w.still()
	mine := w.private(ann)
	w.numbers(numbering)
	w.says(mine, "a")
	var head int64
	w.must(w.db.Get(&head, `SELECT head FROM feed_state`))
	ofStandby := cursor{incarnation: w.incarnation(), pos: head + 1}.encode(testKey, ann)
	var shows sync.Once
	l := w.interrupted(func(query string) {
		if strings.Contains(query, "FROM spans") { // the head was read before
			shows.Do(func() { w.numbers(numbering) })
		}
	})

	stream := w.follows(l, ann, ofStandby)

	w.says(mine, "b")
	w.numbers(numbering)
	w.refreshes(l)
	check(t, "heard", stream.hears(), "b")
}

// Whoever is so slow that the feed was trimmed meanwhile hears of it.
func TestAFollowerThatIsTooSlowIsReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	l.ringSize, l.pageSize = 2, 2
	mine := w.private(ann)
	w.says(mine, "a")
	w.numbers(l)
	stream := w.follows(l, ann, "")

	w.says(mine, "b c d e f")
	w.numbers(l)
	_, err := l.trim(t.Context(), 0)
	w.must(err)
	l.restart()
	w.refreshes(l)

	check(t, "heard", stream.hears(), "RESET")
	w.says(mine, "g")
	w.refreshes(l)
	check(t, "heard then", stream.hears(), "g")
}

// A backup may be put back, or a standby take over that lacks the end, while processes run.
func TestAnotherDatabaseUnderARunningProcessIsAReset(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]string{
		"another incarnation":     `UPDATE feed_state SET incarnation = incarnation + 1`,
		"an older state":          `UPDATE feed_state SET head = 1`,
		"another and older state": `UPDATE feed_state SET incarnation = incarnation + 1, head = 1`,
		"trimmed away":            `UPDATE feed_state SET floor = 20, head = 20`,
	} {
		w := newWorld(t)
		l := w.running()
		mine := w.private(ann)
		beginning := w.follows(l, ann, "").cursor
		w.says(mine, "a b c d")
		w.numbers(w.still())
		w.exec(`SELECT FROM feed_state FOR UPDATE`) // behind whoever numbered them
		w.numbers(w.still())
		// From the feed: whoever heard them early may not have come as far in it.
		stream := w.follows(l, ann, beginning)
		check(t, name+": heard", stream.awaits(4), "a b c d")

		w.exec(`BEGIN; TRUNCATE feed, unnumbered; ` + breaks + `; COMMIT`)

		for delivery := stream.next(); !delivery.Reset; {
			delivery = stream.next()
			check(t, name+": an event before the reset", delivery.Event == nil, true)
		}
		w.says(mine, "e")
		check(t, name+": heard then", stream.awaits(1), "e")
	}
}

func TestAFollowerThatFellOutOfMemoryReadsPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	l.ringSize, l.pageSize = 4, 3
	mine, group, foreign := w.private(ann), w.stream(), w.stream()
	stream := w.follows(l, ann, "")
	beginning := stream.cursor
	var want []string

	w.refreshes(l)
	for i := range 60 {
		switch i % 6 {
		case 1:
			w.opens(group, fmt.Sprint(i), ann)
		case 3:
			w.closes(group, fmt.Sprint(i), ann)
		case 2:
			w.says(group, fmt.Sprint(i))
		case 0:
			w.says(mine, fmt.Sprint(i))
		default: // behind what closes the group, so that nobody sees them
			w.says([]int64{group, foreign}[i%2], "secret")
			w.numbers(l)
			w.refreshes(l)
			continue
		}
		w.numbers(l)
		w.refreshes(l)
		want = append(want, fmt.Sprint(i))
	}

	check(t, "how many are in memory", len(l.ring) <= 2*l.ringSize, true)
	check(t, "heard", stream.hears(), strings.Join(want, " "))
	check(t, "resumed", w.follows(l, ann, beginning).hears(), strings.Join(want, " "))
}

func TestASlowReaderHoldsOnePageAtMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	l.pageSize = 5
	mine := w.private(ann)
	stream := w.follows(l, ann, "")
	w.refreshes(l)
	var said []string
	for i := range 23 {
		said = append(said, fmt.Sprint(i))
	}
	w.says(mine, strings.Join(said, " "))
	w.numbers(l)
	w.says(mine, "new")
	w.refreshes(l)

	var heard []string
	for {
		delivery := stream.next()
		if delivery.Event == nil {
			break
		}
		heard = append(heard, delivery.Event.Kind)
		if len(stream.pending) > l.pageSize {
			t.Fatalf("%d events wait for one reader", len(stream.pending))
		}
	}

	check(t, "heard", strings.Join(heard, " "), strings.Join(append(said, "new"), " "))
}

func TestASignOfLifeCarriesAFreshCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	foreign := w.stream()
	stream := w.follows(l, ann, "")
	w.refreshes(l)
	w.says(foreign, "a b c")
	w.numbers(l)
	w.refreshes(l)
	l.heartbeat = time.Millisecond

	sign := stream.next()

	at, err := decodeCursor(testKey, ann, sign.Cursor)
	w.must(err)
	check(t, "an event", sign.Event == nil, true)
	check(t, "the position", at.pos, 3)
}

func TestPollingEndsWithItsContextAndLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	l.heartbeat = patience
	mine := w.private(ann)
	stream := w.follows(l, ann, "")
	w.refreshes(l)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()

	_, err := stream.Next(ctx)

	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ended with %v", err)
	}
	w.says(mine, "a")
	w.refreshes(l)
	check(t, "the next", stream.awaits(1), "a")
}

func TestAHoleInAStreamEndsWhoWouldMissSomething(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		numbered, inPages bool
	}{
		"before the numbering": {false, false},
		"in memory":            {true, false},
		"in pages":             {true, true},
	} {
		w := newWorld(t)
		l := w.still()
		bob := uuid.New()
		group, other := w.stream(), w.private(bob)
		w.opens(group, "opened", ann)
		stream, bystander := w.follows(l, ann, ""), w.follows(l, bob, "")
		w.refreshes(l)
		w.says(group, "a")
		w.exec(`UPDATE streams SET head = head + 1 WHERE number = $1`, group) // as if an event had been lost
		w.says(group, "b")
		w.says(other, "c")
		if c.numbered {
			w.numbers(l)
		}
		if c.inPages {
			l.restart()
		}
		w.refreshes(l)

		check(t, name+": before the hole", stream.awaits(1), "a")
		_, err := stream.Next(t.Context())

		if !errors.Is(err, errBreach) {
			t.Errorf("%s: it ended with %v", name, err)
		}
		check(t, name+": who is not concerned", bystander.hears(), "c")
		resumed := w.follows(l, ann, stream.cursor)
		check(t, name+": resumed", resumed.hears(), "b")
		w.says(group, "d")
		w.numbers(l)
		w.refreshes(l)
		check(t, name+": and on", resumed.hears(), "d")
	}
}

func TestAHoleInTheFeedIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	mine := w.private(ann)
	stream := w.follows(l, ann, "")
	w.refreshes(l)
	w.says(mine, "a")
	w.numbers(l)
	w.exec(`UPDATE feed_state SET head = head + 1`)
	w.says(mine, "b")
	w.numbers(l)

	_, err := l.refresh(t.Context())

	if !errors.Is(err, errBreach) {
		t.Errorf("the process read on, %v", err)
	}
	l.restart()
	w.refreshes(l)
	check(t, "heard", stream.hears(), "a b")
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	mine, group := w.private(ann), w.stream()
	first, second := w.follows(l, ann, ""), w.follows(l, ann, "")
	w.refreshes(l)
	w.opens(group, "opened", ann)
	w.numbers(l)
	w.refreshes(l)
	check(t, "the first hears", first.hears(), "opened")
	check(t, "how many watch the group", len(l.byStream[group]), 1)
	check(t, "the second hears", second.hears(), "opened")
	check(t, "how many watch the group then", len(l.byStream[group]), 2)

	first.Close()

	check(t, "how many are left", len(l.byReader[ann]), 1)
	w.says(mine, "a")
	w.refreshes(l)
	check(t, "the second goes on", second.hears(), "a")
	second.Close()
	second.Close()
	check(t, "streams", len(l.byStream), 0)
	check(t, "readers", len(l.byReader), 0)
	w.refreshes(l)
	check(t, "what an idle process keeps", len(l.ring)+len(l.ahead)+len(l.seen), 0)
	_, err := w.begins(l, uuid.New(), first.cursor)
	check(t, "a foreign cursor", errors.Is(err, ErrCursorInvalid), true)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = l.Follow(cancelled, ann, "", func() {}); err == nil {
		t.Error("it reads under a context that has ended")
	}
	check(t, "readers after that", len(l.byReader)+len(l.byStream), 0)
}

// The statements of one reading see one moment, whatever is written between them.
func TestNothingFallsBetweenTheStatementsOfARead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numberer := w.still()
	mine, group := w.private(ann), w.stream()
	beginning := w.follows(w.still(), ann, "").cursor
	said := []string{"000"}
	w.says(mine, "000")
	w.numbers(numberer)
	statements := 0
	reading := false
	l := w.interrupted(func(string) {
		if statements++; !reading || statements == 1 {
			return // the first statement begins the snapshot
		}
		kind := fmt.Sprintf("%03d", len(said))
		switch len(said) % 3 {
		case 0:
			w.says(mine, kind)
		case 1:
			w.opens(group, kind, ann)
		case 2:
			w.closes(group, kind, ann)
		}
		said = append(said, kind)
		if len(said)%4 != 0 {
			w.numbers(numberer)
		}
	})
	follow := func(after string) (stream *ear, meanwhile int) {
		before := len(said)
		statements, reading = 0, true
		stream = w.follows(l, ann, after)
		reading = false
		return stream, len(said) - before
	}

	for i := range 24 {
		after, want := beginning, 0
		if i%2 == 1 {
			after, want = "", len(said)
		}
		stream, meanwhile := follow(after)

		check(t, "statements behind the first", meanwhile, 2)
		if i%4 < 2 {
			w.numbers(numberer)
		}
		w.refreshes(l)
		w.numbers(numberer)
		heard := stream.hears()
		w.refreshes(l)
		heard += " " + stream.hears()
		check(t, fmt.Sprint("round ", i), sorted(heard), strings.Join(said[want:], " "))
		stream.Close()
	}
}

func TestAFaultInTheMiddleOfAReadLosesNothing(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for fatal := 1; fatal <= 3; fatal++ {
			w := newWorld(t)
			countdown := 0
			l := w.interrupted(func(string) {
				if countdown--; countdown == 0 {
					w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'interrupted' AND datname = current_database()`)
				}
			})
			mine := w.private(ann)
			w.says(mine, "a")
			w.numbers(l)
			stream := w.follows(l, ann, "")
			beginning := stream.cursor
			w.says(mine, "b c d")
			w.numbers(l)
			want := "b c d"
			if late {
				_, err := l.trim(t.Context(), 0)
				w.must(err)
				want = "RESET"
			}
			w.refreshes(l)
			stream.isDeaf() // or it would try again at once

			countdown = fatal
			heard := stream.hears() // a sign of life comes instead
			cursor := stream.cursor
			heard += stream.hears()

			what := fmt.Sprintf("late %v, before statement %d: ", late, fatal)
			check(t, what+"heard", heard, want)
			if heard == want && !late {
				check(t, what+"the cursor meanwhile", cursor, beginning)
			}
			resumed := w.resumes(w.still(), ann, cursor)
			check(t, what+"resumed from the cursor meanwhile", resumed.reset, late && cursor == beginning)
		}
	}
}

// isDeaf takes the ring of the bell away, if it rang.
func (e *ear) isDeaf() {
	select {
	case <-e.bell:
	default:
	}
}

// Readers of lists and followers agree on what is now.
func TestHereAndFollowAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	mine := w.private(ann)
	w.says(mine, "a")
	w.numbers(l)
	w.says(mine, "b")
	var here string
	w.must(w.inTx(func(ctx context.Context, tx *sqlx.Tx) (err error) {
		here, err = l.Here(ctx, tx, ann)
		return err
	}))
	check(t, "here", here, w.follows(l, ann, "").cursor)
}

// Between the look at a stream that opens and the watch for it something may be said there, for which nobody rings: the follower looks once more.
func TestAFollowerLooksAgainAtAStreamThatOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	l.heartbeat = time.Hour
	group := w.stream()
	stream := w.follows(l, ann, "")
	delivers := func(want string, rests bool) {
		t.Helper()
		delivery, ok, again, err := stream.Follower.Poll(t.Context())
		kind := ""
		if delivery.Event != nil {
			kind = delivery.Event.Kind
		}
		if err != nil || kind != want || ok != (want != "") || (again > 0) != rests {
			t.Fatalf("it hears %q, %v, and looks again after %s; want %q", kind, err, again, want)
		}
	}
	delivers("", true)
	w.opens(group, "opened", ann)
	w.refreshes(l)
	w.numbers(l)
	w.refreshes(l)

	delivers("opened", false)
	delivers("", true)
	w.appends(Event{Stream: group, Kind: "a"})
	w.refreshes(l)
	delivers("a", true)
	w.appends(Event{Stream: group, Kind: "b"})
	w.appends(Event{Stream: group, Kind: "c"})
	w.refreshes(l)
	delivers("b", false)
	delivers("c", true)
}
