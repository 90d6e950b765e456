package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/internal/eventlog"
	"corridor/internal/pgtest"
)

// aClinic is one in which Ann has a conversation.
func aClinic(t *testing.T) (s *Service, db *sqlx.DB, ann Actor, conversation ConversationID) {
	t.Helper()
	database := pgtest.New(t)
	db = database.Open()
	log := eventlog.New(db, eventlog.ByPostgres(db, database.URL), make([]byte, 32), slog.New(slog.DiscardHandler))
	s = New(db, log, slog.New(slog.DiscardHandler))
	ann, conversation = populate(t, s, db, scale{staff: 20, rooms: 2, contacts: 5, conversations: 5, longest: 10, groups: 1, messages: 10})
	return s, db, ann, conversation
}

// An attempt that was rolled back leaves nothing of what it would have answered.
func TestAMessageOfAnAttemptThatFailedIsNotReturned(t *testing.T) {
	t.Parallel()
	s, db, ann, conversation := aClinic(t)
	// The first attempt waits at its end, and runs into a deadlock then. Another one that comes before the other side really does so.
	db.MustExec(`CREATE SEQUENCE attempts`)
	db.MustExec(`CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 SET deadlock_timeout = '10ms' AS $$ BEGIN
		IF nextval('attempts') > 1 THEN
			PERFORM pg_advisory_xact_lock(2);
			RETURN NEW;
		END IF;
		PERFORM pg_advisory_xact_lock(1);
		RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01';
	END $$`)
	db.MustExec(`CREATE TRIGGER deadlock BEFORE UPDATE OF read_seq ON participants FOR EACH ROW EXECUTE FUNCTION deadlock()`)
	end := db.MustBegin()
	end.MustExec(`SELECT pg_advisory_xact_lock(1)`)
	waiting := func(n int) {
		t.Helper()
		pgtest.Eventually(t, fmt.Sprint(n, " wait"), func() bool {
			var waiting int
			err := db.Get(&waiting, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
			return err == nil && waiting == n
		})
	}
	var both sync.WaitGroup
	var message *Message
	var err error
	both.Go(func() {
		message, err = s.SendMessage(t.Context(), ann, SendMessageInput{ClientKey: "key", ConversationID: conversation, Body: "hello"})
	})
	waiting(1)
	// The second one finds what the other side of it did.
	both.Go(func() {
		other := db.MustBegin()
		other.MustExec(`SELECT pg_advisory_xact_lock(2)`)
		other.MustExec(`UPDATE conversations SET closed_at = now()`)
		if err := other.Commit(); err != nil {
			t.Error(err)
		}
	})
	waiting(2)

	if err := end.Rollback(); err != nil {
		t.Fatal(err)
	}
	both.Wait()

	if message != nil || codeOf(err) != CodeNotAParticipant {
		t.Errorf("got %v and %v", message, err)
	}
}

func TestWhoGivesUpDoesNotWaitForWhatIsGathered(t *testing.T) {
	t.Parallel()
	w := newWard(t, 2, 0)
	lets := w.holds(`LOCK TABLE users IN ACCESS EXCLUSIVE MODE`)
	ctx, leave := context.WithCancel(t.Context())
	heard := make(chan error)
	go func() {
		_, err := w.s.SignedIn(ctx, Credential{Email: "p0@x.example"})
		heard <- err
	}()
	waits := func() bool {
		return w.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	}
	pgtest.Eventually(t, "it waits", waits)

	leave()

	if err := <-heard; !errors.Is(err, context.Canceled) || !waits() {
		t.Errorf("got %v, and what was asked has come to its end", err)
	}
	lets()
}

// A secret of an attempt that was rolled back opens nothing: who repeats a call that another attempt did gets none.
func TestASecretOfAnAttemptThatFailedIsNotReturned(t *testing.T) {
	t.Parallel()
	s := telling(t)
	ann := clinicOf(t, s, "Clinic", "Ann: Lab")
	ann.Grant, ann.IsAdministrator = nil, true
	operator, err := s.Operator(t.Context(), "Clinic")
	if err != nil {
		t.Fatal(err)
	}
	account := accountOf(t, s, operator)
	calls := map[string]func(clientKey string) (secret string, err error){
		"createPartnerKey": func(clientKey string) (string, error) {
			_, secret, err := s.CreatePartnerKey(t.Context(), ann, CreatePartnerKeyInput{ClientKey: clientKey, ServiceAccountID: account, Name: "Key", Scopes: Scopes})
			return secret, err
		},
		"createWebhook": func(clientKey string) (string, error) {
			_, secret, err := s.CreateWebhook(t.Context(), ann, CreateWebhookInput{
				ClientKey: clientKey, ServiceAccountID: &account, Name: "Lab", URL: "https://partner.example", EventTypes: []WebhookEventType{WebhookMessageAdded},
			})
			return secret, err
		},
	}
	key, _, err := s.CreatePartnerKey(t.Context(), ann, CreatePartnerKeyInput{ClientKey: "a key", ServiceAccountID: account, Name: "Key", Scopes: Scopes})
	if err != nil {
		t.Fatal(err)
	}
	calls["rotatePartnerKey"] = func(clientKey string) (string, error) {
		successor, secret, err := s.RotatePartnerKey(t.Context(), ann, RotatePartnerKeyInput{ClientKey: clientKey, KeyID: key.ID, OverlapMinutes: 1})
		key = successor // for a key is rotated once
		return secret, err
	}
	webhook := webhookWith(t, s, "Clinic", 1)
	calls["rotateWebhookSecret"] = func(clientKey string) (string, error) {
		_, secret, err := s.RotateWebhookSecret(t.Context(), ann, RotateWebhookSecretInput{ClientKey: clientKey, WebhookID: webhook})
		return secret, err
	}
	for operation, call := range calls {
		if secret, err := call("earlier " + operation); err != nil || secret == "" {
			t.Fatalf("%s: %v", operation, err)
		}
	}
	for _, statement := range []string{
		`CREATE SEQUENCE attempts`,
		// Each first attempt runs into a deadlock at its end,
		`CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('attempts') % 2 = 1 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF;
			RETURN NEW;
		END $$`,
		`CREATE TRIGGER deadlock BEFORE UPDATE OF result ON client_keys FOR EACH ROW EXECUTE FUNCTION deadlock()`,
		// and the second finds what the other side of it did under the same key.
		`CREATE FUNCTION repeat() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF (SELECT is_called AND last_value % 2 = 1 FROM attempts) THEN
				PERFORM nextval('attempts');
				SELECT result INTO NEW.result FROM client_keys WHERE key = 'earlier ' || NEW.operation;
				INSERT INTO client_keys SELECT NEW.*;
			END IF;
			RETURN NEW;
		END $$`,
		`CREATE TRIGGER repeat BEFORE INSERT ON client_keys FOR EACH ROW EXECUTE FUNCTION repeat()`,
	} {
		s.db.MustExec(statement)
	}

	for operation, call := range calls {
		if secret, err := call(operation); err != nil || secret != "" {
			t.Errorf("%s returns a secret: %t, %v", operation, secret != "", err)
		}
	}

	var attempts int
	if err := s.db.Get(&attempts, `SELECT last_value FROM attempts`); err != nil || attempts != 2*len(calls) {
		t.Errorf("%d attempts, %v", attempts, err)
	}
}

// What was recalled here is not shown as it was, not even a moment ago.
func TestE11AFreshLineThatWasRecalledIsBlank(t *testing.T) {
	t.Parallel()
	s, _, ann, conversation := aClinic(t)
	for i := range 5 {
		message, err := s.SendMessage(t.Context(), ann, SendMessageInput{ClientKey: fmt.Sprint("send ", i), ConversationID: conversation, Body: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.RecallMessage(t.Context(), ann, RecallMessageInput{ClientKey: fmt.Sprint("recall ", i), MessageID: message.ID}); err != nil {
			t.Fatal(err)
		}

		seen, err := s.Look(t.Context(), ann, MessageAdded{ConversationID: conversation, MessageID: message.ID}, Wanted{Message: true})
		if err != nil {
			t.Fatal(err)
		}
		if shown := seen.(MessageAdded).Message; shown.Body != "" || shown.RecalledAt == nil {
			t.Errorf("it is shown as %q", shown.Body)
		}
	}
}

// Two devices of a person may know different policies for a moment.
func TestAConversationIsSeenByEachPolicy(t *testing.T) {
	t.Parallel()
	s, _, ann, conversation := aClinic(t)
	asked := []conversationSeen{{ann.User.ID, false, conversation}, {ann.User.ID, true, conversation}}
	found, err := s.conversationsSeen(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range asked {
		if _, ok := found[key]; !ok {
			t.Errorf("it is not found for %+v", key)
		}
	}
}

func TestAPanicInAStatementIsAnErrorOfWhoAsked(t *testing.T) {
	t.Parallel()
	g := &gathering[int, string]{fetch: func(context.Context, []int) (map[int]string, error) { panic("a secret") }}
	for range 2 * gatherAtOnce {
		if _, err := g.ask(1).answer(t.Context(), 1); err == nil {
			t.Error("there is no error")
		}
	}
}

// However many ask at once, few statements run, and none that began before a question answers it.
func TestQuestionsOfManyComeIntoFewStatements(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan []int, 100), make(chan struct{})
	g := &gathering[int, string]{fetch: func(_ context.Context, keys []int) (map[int]string, error) {
		begun <- keys
		<-finish
		found := map[int]string{}
		for _, key := range keys {
			if key%2 == 0 {
				found[key] = fmt.Sprint("answer ", key)
			}
		}
		return found, nil
	}}
	for range gatherAtOnce {
		g.ask(-2)
		<-begun
	}
	var all sync.WaitGroup
	for i := range 100 {
		asked := g.ask(i / 2)
		all.Go(func() {
			found, err := asked.answer(t.Context(), i/2)
			switch {
			case err != nil:
				t.Error(err)
			case i/2%2 == 1 && found != nil:
				t.Errorf("there is something of %d: %s", i/2, *found)
			case i/2%2 == 0 && (found == nil || *found != fmt.Sprint("answer ", i/2)):
				t.Errorf("the answer to %d is %v", i/2, found)
			}
		})
	}

	close(finish)
	all.Wait()

	if keys := <-begun; len(keys) != 50 {
		t.Errorf("%d keys are read together, want 50, each once", len(keys))
	}
	if len(begun) != 0 {
		t.Errorf("there were %d statements more", len(begun))
	}
	for idle := false; !idle; { // and nobody stays behind
		g.mu.Lock()
		idle = g.running == 0
		g.mu.Unlock()
	}
}

func TestAQuestionMayFailOrBeGivenUp(t *testing.T) {
	t.Parallel()
	fault := errors.New("the database is away")
	g := &gathering[int, string]{fetch: func(context.Context, []int) (map[int]string, error) { return nil, fault }}
	if _, err := g.ask(1).answer(t.Context(), 1); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	stuck := make(chan struct{})
	defer close(stuck)
	g.fetch = func(context.Context, []int) (map[int]string, error) { <-stuck; return nil, nil }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.ask(1).answer(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var none *batch[int, string]
	if found, err := none.answer(t.Context(), 1); found != nil || err != nil {
		t.Errorf("what was not asked for is %v, %v", found, err)
	}
}

// What was just written is known for a moment, and so much of it.
func TestFreshLinesAreForgotten(t *testing.T) {
	t.Parallel()
	var f freshLines
	ids := make([]MessageID, maxFresh+1)
	for i := range ids {
		ids[i] = MessageID{newID()}
		f.put([]addedLine{{Message: Message{ID: ids[i]}}})
	}
	get := func(id MessageID) *batch[MessageID, addedLine] {
		line, _ := f.get(id)
		return line
	}
	if get(ids[0]) != nil || len(f.at) != maxFresh {
		t.Errorf("%d lines are kept", len(f.at))
	}
	newest := ids[maxFresh]
	if line, err := get(newest).answer(t.Context(), newest); err != nil || line == nil || line.ID != newest {
		t.Error("the newest line is not known")
	}
	f.lines[f.at[newest]].written = time.Now().Add(-staysFresh - 1)
	if get(newest) != nil {
		t.Error("an old line is taken for a new one")
	}
}

// Who has muted a conversation is known with what was written there last, as long as nobody changes how they stand to it.
func TestWhoMutedIsKnownForAMoment(t *testing.T) {
	t.Parallel()
	here, there := ConversationID{newID()}, ConversationID{newID()}
	for name, test := range map[string]struct {
		event eventlog.Event
		known bool
	}{
		"a setting there":            {eventlog.Event{Kind: kindSettings, Scope: here.UUID}, false},
		"a setting elsewhere":        {eventlog.Event{Kind: kindSettings, Scope: there.UUID}, true},
		"somebody left":              {eventlog.Event{Kind: kindLine, Scope: here.UUID, Closes: []uuid.UUID{newID()}}, false},
		"somebody left elsewhere":    {eventlog.Event{Kind: kindLine, Scope: there.UUID, Closes: []uuid.UUID{newID()}}, true},
		"another message was edited": {eventlog.Event{Kind: kindMessageChanged, Scope: here.UUID, Object: newID()}, true},
		"something more is written":  {eventlog.Event{Kind: kindLine, Scope: here.UUID}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f freshLines
			id := MessageID{newID()}
			f.put([]addedLine{{Message: Message{ID: id, ConversationID: here}, muters: &[]UserID{{newID()}}, asked: time.Now()}})

			f.forget([]eventlog.Event{test.event})

			line, muters := f.get(id)
			if line == nil || (muters != nil) != test.known {
				t.Errorf("the line is known: %t, who muted: %t, want %t", line != nil, muters != nil, test.known)
			}
		})
	}
}

// Somebody mutes a conversation and is told so, and then a message is committed that was being written before.
func TestWhoMutesWhileAMessageIsWrittenHearsNothing(t *testing.T) {
	t.Parallel()
	w := newWard(t, 3, 1)
	ann, bob, cai := w.people[0], w.people[1], w.people[2]
	l := &letter{
		values: t.Context(), actor: ann, in: SendMessageInput{ConversationID: w.groups[0], ClientKey: "k"}, body: "hello",
		fingerprint: []byte("x"), key: clientKey{ann.User.ID, "k"}, id: MessageID{newID()}, answered: make(chan struct{}),
	}
	w.must(w.s.commit(t.Context(), lane{}, Actor{}, func(ctx context.Context, tx *transaction) error {
		if err := tx.writeLetters(ctx, []*letter{l}, false); err != nil {
			return err
		}
		_, err := w.s.MuteConversation(t.Context(), bob, MuteConversationInput{ClientKey: "mute", ConversationID: w.groups[0]})
		return err
	}))
	for reader, felt := range map[*Actor]bool{&bob: false, &cai: true} {
		seen, err := w.s.Look(t.Context(), *reader, MessageAdded{ConversationID: w.groups[0], MessageID: l.id}, Wanted{Notify: true})
		w.must(err)
		if event := seen.(MessageAdded); event.Notify().Popup != felt {
			t.Errorf("%s feels it: %t", reader.User.Name, event.Notify().Popup)
		}
	}
}

func TestOfManyChangesOnlyTheLastAreKnown(t *testing.T) {
	t.Parallel()
	var f freshLines
	old := addedLine{Message: Message{ID: MessageID{newID()}, ConversationID: ConversationID{newID()}}, muters: &[]UserID{}, asked: time.Now()}
	for range maxFresh + 1 {
		f.forget([]eventlog.Event{{Kind: kindSettings, Scope: newID()}})
	}
	f.put([]addedLine{old})
	if _, muters := f.get(old.ID); muters != nil || len(f.changed) > maxFresh {
		t.Errorf("what is not known to be so is taken for it, of %d changes", len(f.changed))
	}
}

func TestManyMutersAreNotReadWithAMessage(t *testing.T) {
	t.Parallel()
	w := newWard(t, mostMuters+3, 1)
	mutes := func(people []Actor) {
		for _, person := range people {
			_, err := w.s.MuteConversation(t.Context(), person, MuteConversationInput{ClientKey: "mute", ConversationID: w.groups[0]})
			w.must(err)
		}
	}
	for _, n := range []int{0, 2, mostMuters, mostMuters + 1} {
		mutes(w.people[1 : n+1])
		message, err := w.s.SendMessage(t.Context(), w.people[0], SendMessageInput{ClientKey: fmt.Sprint(n), ConversationID: w.groups[0], Body: "hello"})
		w.must(err)

		w.s.seen.fresh.mu.Lock()
		muters := w.s.seen.fresh.lines[w.s.seen.fresh.at[message.ID]].muters
		w.s.seen.fresh.mu.Unlock()

		if n > mostMuters {
			if muters != nil {
				t.Errorf("%d of %d who muted it are read", len(*muters), n)
			}
			continue
		}
		want := map[UserID]bool{}
		for _, person := range w.people[1 : n+1] {
			want[person.User.ID] = true
		}
		if muters == nil || len(*muters) != n {
			t.Fatalf("of %d who muted it are read: %v", n, muters)
		}
		for _, id := range *muters {
			if !want[id] {
				t.Errorf("%s has not muted it", id)
			}
		}
	}
}
