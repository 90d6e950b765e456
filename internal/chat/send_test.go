package chat

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"corridor/internal/eventlog"
	"corridor/internal/pgtest"
)

// ward is a clinic whose people are all in one room, and in some groups together.
type ward struct {
	t        *testing.T
	database *pgtest.Database
	db       *sqlx.DB
	s        *Service
	people   []Actor
	groups   []ConversationID

	sending sync.WaitGroup
}

func newWard(t *testing.T, people, groups int) *ward {
	t.Helper()
	s, database := newService(t)
	w := &ward{t: t, database: database, db: database.Open(), s: s}
	var roster []string
	for i := range people {
		roster = append(roster, fmt.Sprintf("P%d: Ward", i))
	}
	clinicOf(t, s, "Clinic", roster...)
	for i := range people {
		person, err := s.SignedIn(t.Context(), Credential{Email: fmt.Sprintf("p%d@x.example", i)})
		w.must(err)
		w.people = append(w.people, person)
	}
	for i := range groups {
		w.groups = append(w.groups, w.group(fmt.Sprint("Case ", i), w.people...))
	}
	return w
}

// another is a second instance on the same database.
func (w *ward) another() *Service {
	logger, db := slog.New(slog.DiscardHandler), w.database.Open()
	return New(db, eventlog.New(db, eventlog.ByPostgres(db, w.database.URL), []byte("key"), logger), logger)
}

func (w *ward) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *ward) group(name string, people ...Actor) ConversationID {
	w.t.Helper()
	in := CreateGroupInput{ClientKey: name, Name: name}
	for _, person := range people[1:] {
		in.UserIDs = append(in.UserIDs, person.User.ID)
	}
	group, err := w.s.CreateGroup(w.t.Context(), people[0], in)
	w.must(err)
	return group.ID
}

// sent is what became of a message.
type sent struct {
	message *Message
	err     error
}

// sends sends a message and returns what will become of it, when it is under way or waits behind others.
func (w *ward) sends(who Actor, to ConversationID, key, body string) *sent {
	w.t.Helper()
	waiting, answer, over := w.waiting(), &sent{}, make(chan struct{})
	w.sending.Go(func() {
		defer close(over)
		answer.message, answer.err = w.s.SendMessage(context.Background(), who, SendMessageInput{ClientKey: key, ConversationID: to, Body: body})
	})
	pgtest.Eventually(w.t, "the message waits", func() bool { return w.waiting() > waiting })
	return answer
}

// together has messages sent that wait for each other, in this order.
func (w *ward) together(send func()) {
	w.t.Helper()
	for range cap(w.s.writers) {
		w.s.writers <- struct{}{}
	}
	send()
	for range cap(w.s.writers) {
		<-w.s.writers
	}
}

func (w *ward) waiting() int {
	w.s.outbox.mu.Lock()
	defer w.s.outbox.mu.Unlock()
	return len(w.s.outbox.waiting)
}

func (w *ward) underWay(to ConversationID) int {
	w.s.outbox.mu.Lock()
	defer w.s.outbox.mu.Unlock()
	return w.s.outbox.underWay[to]
}

func (w *ward) count(query string, arguments ...any) (n int) {
	w.t.Helper()
	w.must(w.db.Get(&n, query, arguments...))
	return n
}

// commits is in how many transactions the messages were written.
func (w *ward) commits() int {
	return w.count(`SELECT count(DISTINCT xmin::text) FROM messages WHERE kind = 'TEXT'`)
}

// holds takes locks in a transaction of somebody else's.
func (w *ward) holds(lock string, arguments ...any) (lets func()) {
	w.t.Helper()
	tx := w.db.MustBegin()
	w.t.Cleanup(func() { _ = tx.Rollback() })
	tx.MustExec(lock, arguments...)
	return func() { w.must(tx.Rollback()) }
}

// adds up checks that what is written fits together.
func (w *ward) addsUp() {
	w.t.Helper()
	for what, query := range map[string]string{
		"gaps in a transcript": `SELECT count(*) FROM (SELECT conversation_id, max(seq) - count(*) AS gaps FROM messages GROUP BY 1) AS counted WHERE gaps <> 0`,
		"lines without their event": `SELECT count(*) FROM messages JOIN conversations ON conversations.id = conversation_id
			LEFT JOIN events ON events.stream = conversations.stream AND events.seq = messages.seq AND object = messages.id AND actor = sender_id
			WHERE events.seq IS NULL`,
		"conversations that do not know their last line": `SELECT count(*) FROM conversations WHERE
			last_seq <> (SELECT max(seq) FROM messages WHERE conversation_id = conversations.id)
			OR text_count <> (SELECT count(*) FROM messages WHERE conversation_id = conversations.id AND kind = 'TEXT')`,
		"messages that count wrong": `SELECT count(*) FROM (
			SELECT text_count, count(*) FILTER (WHERE kind = 'TEXT') OVER (PARTITION BY conversation_id ORDER BY seq) AS texts FROM messages) AS counted
			WHERE text_count <> texts`,
		"messages of who may not see them": `SELECT count(*) FROM messages JOIN conversations ON conversations.id = conversation_id
			WHERE messages.kind = 'TEXT' AND NOT EXISTS (SELECT FROM spans WHERE reader = sender_id AND spans.stream = conversations.stream
				AND seq BETWEEN from_seq AND to_seq)`,
		"senders who have not read what they sent": `SELECT count(*) FROM participants JOIN (
				SELECT conversation_id, sender_id, max(seq) AS seq, max(text_count) AS text_count FROM messages WHERE kind = 'TEXT' GROUP BY 1, 2
			) AS own ON own.conversation_id = participants.conversation_id AND sender_id = user_id
			WHERE left_at IS NULL AND read_seq < seq`,
		"messages without their key, and keys without their message": `SELECT count(*) FROM
			(SELECT * FROM client_keys WHERE operation = 'sendMessage') AS keys FULL JOIN (SELECT * FROM messages WHERE kind = 'TEXT') AS texts
			ON result = to_jsonb(texts.id) AND user_id = sender_id AND key = client_key WHERE key IS NULL OR texts.id IS NULL`,
	} {
		if n := w.count(query); n > 0 {
			w.t.Errorf("%s: %d", what, n)
		}
	}
}

func TestMessagesThatWaitGoTogether(t *testing.T) {
	t.Parallel()
	w := newWard(t, 8, 3)
	var answers []*sent

	w.together(func() {
		for i := range maxTogether + 8 {
			answers = append(answers, w.sends(w.people[i%8], w.groups[i%3], fmt.Sprint(i), fmt.Sprint("message ", i)))
		}
	})

	w.sending.Wait()
	for i, answer := range answers {
		w.must(answer.err)
		if m, seq := answer.message, int64(2+i/3); m.Body != fmt.Sprint("message ", i) || m.Seq != seq || m.ConversationID != w.groups[i%3] || *m.SenderID != w.people[i%8].User.ID || m.TextCount != seq-1 {
			t.Errorf("message %d was answered with %+v, want seq %d", i, m, seq)
		}
	}
	if commits := w.commits(); commits != 2 {
		t.Errorf("%d messages took %d transactions", len(answers), commits)
	}
	w.addsUp()
}

func TestALockHoldsUpOnlyWhatIsSentThere(t *testing.T) {
	t.Parallel()
	for what, lock := range map[string]string{
		"a conversation that somebody changes": `SELECT FROM conversations WHERE id = ANY ($1) FOR NO KEY UPDATE`,
		"the place of a sender in it":          `UPDATE participants SET muted_at = now() WHERE conversation_id = ANY ($1)`,
		"its stream":                           `SELECT FROM streams WHERE number IN (SELECT stream FROM conversations WHERE id = ANY ($1)) FOR NO KEY UPDATE`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWard(t, 4, 0)
			// More than may be waited for at a time.
			for i := range 2 * cap(w.s.outbox.patient) {
				w.groups = append(w.groups, w.group(fmt.Sprint("Held ", i), w.people...))
			}
			free := w.group("Free", w.people...)
			lets := w.holds(lock, array(w.groups))
			var held, gone []*sent
			w.together(func() {
				for i, group := range w.groups {
					for n := range 2 {
						held = append(held, w.sends(w.people[i%4], group, fmt.Sprint(what, i, n), "held"))
						gone = append(gone, w.sends(w.people[i%4], free, fmt.Sprint("free", i, n), "free"))
					}
				}
			})

			pgtest.Eventually(t, "the others are sent", func() bool {
				return w.count(`SELECT count(*) FROM messages WHERE body = 'free'`) == len(gone)
			})
			_, err := w.s.SendMessage(t.Context(), w.people[0], SendMessageInput{ClientKey: "late", ConversationID: free, Body: "later"})

			w.must(err)
			if n := w.count(`SELECT count(*) FROM messages WHERE body = 'held'`); n > 0 {
				t.Errorf("%d were sent in spite of the lock", n)
			}
			lets()
			w.sending.Wait()
			for i, answer := range append(held, gone...) {
				if answer.err != nil {
					t.Fatalf("message %d: %v", i, answer.err)
				}
			}
			for i := 0; i < len(held); i += 2 {
				if held[i].message.Seq > held[i+1].message.Seq {
					t.Errorf("in group %d the second message came first", i/2)
				}
			}
			w.addsUp()
		})
	}
}

func TestWhatPostgresRefusesFailsNoOther(t *testing.T) {
	t.Parallel()
	w := newWard(t, 6, 2)
	w.db.MustExec(`ALTER TABLE messages ADD CONSTRAINT harmless CHECK (body <> 'poison')`)
	var answers []*sent

	w.together(func() {
		for i := range 12 {
			body := "harmless"
			if i == 5 {
				body = "poison"
			}
			answers = append(answers, w.sends(w.people[i%6], w.groups[i%2], fmt.Sprint(i), body))
		}
	})

	w.sending.Wait()
	for i, answer := range answers {
		if refused := answer.err != nil; refused != (i == 5) {
			t.Errorf("message %d: %v", i, answer.err)
		}
	}
	w.db.MustExec(`ALTER TABLE messages DROP CONSTRAINT harmless`)
	_, err := w.s.SendMessage(t.Context(), w.people[5], SendMessageInput{ClientKey: "5", ConversationID: w.groups[1], Body: "poison"})
	w.must(err)
	w.addsUp()
}

func TestWhatIsRefusedLeavesNothingAndCanBeSentAgain(t *testing.T) {
	t.Parallel()
	w := newWard(t, 5, 1)
	ann, bob, outsider := w.people[0], w.people[1], w.people[4]
	small, gone := w.group("Small", w.people[:3]...), w.group("Gone", w.people[:3]...)
	_, err := w.s.DeleteGroup(t.Context(), ann, DeleteGroupInput{ClientKey: "delete", ConversationID: gone})
	w.must(err)
	_, err = w.s.RemoveParticipant(t.Context(), ann, RemoveParticipantInput{ClientKey: "remove", ConversationID: small, UserID: bob.User.ID})
	w.must(err)
	var sent, removed, deleted, stranger, nowhere *sent

	w.together(func() {
		sent = w.sends(ann, small, "sent", "hello")
		removed = w.sends(bob, small, "removed", "hello")
		deleted = w.sends(bob, gone, "deleted", "hello")
		stranger = w.sends(outsider, small, "stranger", "hello")
		nowhere = w.sends(outsider, ConversationID{newID()}, "nowhere", "hello")
	})

	w.sending.Wait()
	w.must(sent.err)
	for got, want := range map[error]ErrorCode{
		removed.err: CodeNotAParticipant, deleted.err: CodeConversationDeleted, stranger.err: CodeNotFound, nowhere.err: CodeNotFound,
	} {
		if codeOf(got) != want {
			t.Errorf("it was answered with %v, want %s", got, want)
		}
	}
	w.addsUp()
	_, _, err = w.s.AddParticipants(t.Context(), ann, AddParticipantsInput{
		ClientKey: "add", ConversationID: small, UserIDs: []UserID{bob.User.ID, outsider.User.ID}, History: FromNow,
	})
	w.must(err)
	for key, who := range map[string]Actor{"removed": bob, "stranger": outsider} {
		if _, err := w.s.SendMessage(t.Context(), who, SendMessageInput{ClientKey: key, ConversationID: small, Body: "hello"}); err != nil {
			t.Errorf("sent again with the key %q: %v", key, err)
		}
	}
	w.addsUp()
}

func TestE36TheSameCallIsOneMessageWhereverItComes(t *testing.T) {
	t.Parallel()
	w := newWard(t, 4, 3)
	instances := []*Service{w.s, w.another()}
	type answer struct {
		body string
		sent
	}
	var mu sync.Mutex
	answers := map[string][]answer{}
	for i := range 120 {
		w.sending.Go(func() {
			key, body := fmt.Sprint("key ", i%5), "hello"
			if i%20 == 0 {
				body = "something else"
			}
			in := SendMessageInput{ClientKey: key, ConversationID: w.groups[i%5%3], Body: body}
			message, err := instances[i%2].SendMessage(context.Background(), w.people[0], in)
			mu.Lock()
			defer mu.Unlock()
			answers[key] = append(answers[key], answer{body, sent{message, err}})
		})
	}

	w.sending.Wait()

	for key, of := range answers {
		var first *Message
		for _, a := range of {
			if a.err == nil {
				first = a.message
			}
		}
		for _, a := range of {
			switch {
			case a.err == nil && (a.message.ID != first.ID || a.message.Body != a.body):
				t.Errorf("%s: %q was answered with %q", key, a.body, a.message.Body)
			case a.err != nil && (codeOf(a.err) != CodeClientKeyConflict || a.body == first.Body):
				t.Errorf("%s: %q was answered with %v", key, a.body, a.err)
			}
		}
	}
	if n := w.count(`SELECT count(*) FROM messages WHERE kind = 'TEXT'`); n != len(answers) {
		t.Errorf("%d calls are %d messages", len(answers), n)
	}
	w.addsUp()
}

func TestE14WhoArchivedIsToldOnceOfWhatIsSentTogether(t *testing.T) {
	t.Parallel()
	w := newWard(t, 5, 2)
	ann, bob, muted, away := w.people[0], w.people[1], w.people[2], w.people[3]
	for _, group := range w.groups {
		for i, person := range []Actor{bob, muted, away} {
			_, err := w.s.ArchiveConversation(t.Context(), person, ArchiveConversationInput{ClientKey: fmt.Sprint("archive ", i, group), ConversationID: group})
			w.must(err)
		}
		_, err := w.s.MuteConversation(t.Context(), muted, MuteConversationInput{ClientKey: fmt.Sprint("mute ", group), ConversationID: group})
		w.must(err)
	}
	heads := func() (heads []int64) {
		w.t.Helper()
		w.must(w.db.Select(&heads, `SELECT head FROM streams JOIN users ON stream = number ORDER BY users.email`))
		return heads
	}
	before := heads()

	w.together(func() {
		for i := range 6 {
			w.sends([]Actor{ann, bob}[i%2], w.groups[i/3], fmt.Sprint(i), "hello")
		}
	})

	w.sending.Wait()
	for i, told := range []int64{0, 2, 0, 2, 0} { // once of each group
		if now := heads(); now[i]-before[i] != told {
			t.Errorf("person %d was told %d times, want %d", i, now[i]-before[i], told)
		}
	}
	if n := w.count(`SELECT count(*) FROM participants WHERE archived_at IS NOT NULL AND user_id <> $1`, muted.User.ID); n > 0 {
		t.Errorf("%d have it still archived", n)
	}
	if n := w.count(`SELECT count(*) FROM participants WHERE archived_at IS NOT NULL`); n != 2 {
		t.Errorf("who muted has %d still archived, want 2", n)
	}
	w.addsUp()
}

func TestWhoGoesAwayBeforeTheirTurnSendsNothing(t *testing.T) {
	t.Parallel()
	w := newWard(t, 2, 1)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	var stays *sent

	w.together(func() {
		go func() {
			_, err := w.s.SendMessage(ctx, w.people[0], SendMessageInput{ClientKey: "gone", ConversationID: w.groups[0], Body: "gone"})
			gone <- err
		}()
		pgtest.Eventually(t, "it waits", func() bool { return w.waiting() == 1 })
		stays = w.sends(w.people[1], w.groups[0], "stays", "stays")
		leave()
		if err := <-gone; err == nil {
			t.Error("it was sent")
		}
	})

	w.sending.Wait()
	if stays.err != nil || stays.message.Seq != 2 {
		t.Errorf("the other was answered with %+v, %v", stays.message, stays.err)
	}
	w.addsUp()
}

// allArePatient has messages sent to conversations that somebody else has locked, until no more may wait for locks.
func (w *ward) allArePatient() (lets func()) {
	w.t.Helper()
	var held []ConversationID
	for i := range cap(w.s.outbox.patient) {
		held = append(held, w.group(fmt.Sprint("Held ", i), w.people...))
	}
	lets = w.holds(`SELECT FROM conversations WHERE id = ANY ($1) FOR NO KEY UPDATE`, array(held))
	for _, group := range held {
		w.sending.Go(func() {
			_, err := w.s.SendMessage(context.Background(), w.people[0], SendMessageInput{ClientKey: group.String(), ConversationID: group, Body: "held"})
			if err != nil {
				w.t.Error(err)
			}
		})
	}
	pgtest.Eventually(w.t, "all are patient", func() bool { return len(w.s.outbox.patient) == cap(w.s.outbox.patient) })
	return lets
}

func TestALockOfAMomentLastsAMomentWhateverOthersWaitFor(t *testing.T) {
	t.Parallel()
	w := newWard(t, 3, 1)
	lets := w.allArePatient()
	moment := w.holds(`SELECT FROM conversations WHERE id = ANY ($1) FOR NO KEY UPDATE`, array(w.groups))
	var failed error
	w.sending.Go(func() {
		_, failed = w.s.SendMessage(context.Background(), w.people[1], SendMessageInput{ClientKey: "moment", ConversationID: w.groups[0], Body: "hello"})
	})
	pgtest.Eventually(t, "it is under way", func() bool { return w.underWay(w.groups[0]) == 1 })

	moment()

	pgtest.Eventually(t, "it is sent", func() bool { return w.count(`SELECT count(*) FROM messages WHERE body = 'hello'`) == 1 })
	lets()
	w.sending.Wait()
	w.must(failed)
	w.addsUp()
}

func TestWhoUsesAKeyTwiceHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWard(t, 2, 2)
	lets := w.holds(`SELECT FROM conversations WHERE id = $1 FOR NO KEY UPDATE`, w.groups[0])
	var twice [2]error
	for i, group := range w.groups {
		w.sending.Go(func() {
			_, twice[i] = w.s.SendMessage(context.Background(), w.people[0], SendMessageInput{ClientKey: "twice", ConversationID: group, Body: "twice"})
		})
		pgtest.Eventually(t, "it is under way, or waits for that", func() bool { return w.underWay(w.groups[0]) == 1 && w.waiting() == i })
	}
	w.sending.Go(func() {
		_, err := w.s.SendMessage(context.Background(), w.people[1], SendMessageInput{ClientKey: "other", ConversationID: w.groups[1], Body: "other"})
		if err != nil {
			t.Error(err)
		}
	})
	pgtest.Eventually(t, "the other's is sent", func() bool { return w.count(`SELECT count(*) FROM messages WHERE body = 'other'`) == 1 })
	lets()
	w.sending.Wait()
	if twice[0] != nil || codeOf(twice[1]) != CodeClientKeyConflict {
		t.Errorf("the two came to %v", twice)
	}
	w.addsUp()
}

func TestWhoGoesAwayWhileALockIsWaitedForIsLetGo(t *testing.T) {
	t.Parallel()
	w := newWard(t, 3, 1)
	lets := w.allArePatient()
	held := w.holds(`SELECT FROM conversations WHERE id = ANY ($1) FOR NO KEY UPDATE`, array(w.groups))
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := w.s.SendMessage(ctx, w.people[1], SendMessageInput{ClientKey: "gone", ConversationID: w.groups[0], Body: "gone"})
		gone <- err
	}()
	pgtest.Eventually(t, "it is under way", func() bool { return w.underWay(w.groups[0]) == 1 })

	leave()

	if err := <-gone; err == nil {
		t.Error("it was sent")
	}
	if len(w.s.outbox.patient) != cap(w.s.outbox.patient) {
		t.Error("only when there was a place for it")
	}
	held()
	_, err := w.s.SendMessage(t.Context(), w.people[1], SendMessageInput{ClientKey: "gone", ConversationID: w.groups[0], Body: "stays"})
	w.must(err)
	lets()
	w.sending.Wait()
	if n := w.count(`SELECT count(*) FROM messages WHERE body = 'gone'`); n > 0 {
		t.Error("it was sent all the same")
	}
	pgtest.Eventually(t, "nothing is under way", func() bool {
		w.s.outbox.mu.Lock()
		defer w.s.outbox.mu.Unlock()
		return len(w.s.outbox.underWay) == 0 && w.s.outbox.carriers == 0
	})
	w.addsUp()
}

// Everybody sends at once into few groups, on two instances, while people are removed and come back, and groups are deleted.
func TestSendersWhoRaceKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const senders, messages = 24, 20
	w := newWard(t, 12, 4)
	instances := []*Service{w.s, w.another()}
	var refused sync.Map
	for i := range senders {
		w.sending.Go(func() {
			who, s := w.people[i%len(w.people)], instances[i%2]
			for n := range messages {
				in := SendMessageInput{ClientKey: fmt.Sprint(i, " ", n), ConversationID: w.groups[rand.N(len(w.groups))], Body: fmt.Sprint(i, " ", n)}
				if _, err := s.SendMessage(context.Background(), who, in); err != nil {
					if code := codeOf(err); code != CodeNotAParticipant && code != CodeConversationDeleted {
						t.Errorf("refused: %v", err)
					}
					refused.Store(in.Body, true)
				}
			}
		})
	}
	for i := range 20 {
		group, who := w.groups[i%len(w.groups)], w.people[1+i%(len(w.people)-1)].User.ID
		_, err := w.s.RemoveParticipant(t.Context(), w.people[0], RemoveParticipantInput{ClientKey: fmt.Sprint("remove ", i), ConversationID: group, UserID: who})
		w.must(err)
		if i%3 == 0 {
			_, _, err = instances[1].AddParticipants(t.Context(), w.people[0], AddParticipantsInput{
				ClientKey: fmt.Sprint("add ", i), ConversationID: group, UserIDs: []UserID{who}, History: FromNow,
			})
			w.must(err)
		}
	}
	_, err := w.s.DeleteGroup(t.Context(), w.people[0], DeleteGroupInput{ClientKey: "delete", ConversationID: w.groups[3]})
	w.must(err)
	w.sending.Wait()

	var said []struct {
		Group ConversationID `db:"conversation_id"`
		Body  string
	}
	w.must(w.db.Select(&said, `SELECT conversation_id, body FROM messages WHERE kind = 'TEXT' ORDER BY conversation_id, seq`))
	last := map[string]int{}
	for _, line := range said {
		var i, n int
		if _, err := fmt.Sscan(strings.TrimSpace(line.Body), &i, &n); err != nil {
			t.Fatal(err)
		}
		of := fmt.Sprint(line.Group, i)
		if before, again := last[of]; again && before >= n {
			t.Errorf("sender %d: %d came behind %d", i, n, before)
		}
		last[of] = n
		if _, was := refused.Load(line.Body); was {
			t.Errorf("%q was refused and is there", line.Body)
		}
		refused.Store(line.Body, true) // so that it is there once
	}
	if all := 0; true {
		refused.Range(func(any, any) bool { all++; return true })
		if all != senders*messages {
			t.Errorf("%d of %d are there or were refused", all, senders*messages)
		}
	}
	w.addsUp()
}

// What is seen in the statement that takes the lock is from before it, unless nobody changed anything meanwhile.
func TestWhatWasSeenBeforeTheLockIsStale(t *testing.T) {
	t.Parallel()
	w := newWard(t, 3, 1)
	l := &letter{actor: w.people[1], in: SendMessageInput{ConversationID: w.groups[0]}, key: clientKey{w.people[1].User.ID, "key"}}
	waits := strings.Replace(lookAtOnce, "SKIP LOCKED", "", 1) // comes a moment too late, by as much as we like
	looks := func() (stale bool) {
		tx := w.db.MustBegin()
		defer tx.Rollback()
		var rows []struct {
			Held, Stale, Deleted, Known bool
			N                           int
			earlierCall
			ConversationView
		}
		if err := tx.Select(&rows, waits, given([]*letter{l}, 0)...); err != nil || len(rows) != 1 || rows[0].Held || !rows[0].Known {
			t.Errorf("the look has %+v, %v", rows, err)
			return false
		}
		return rows[0].Stale
	}

	if looks() {
		t.Error("what nobody changed is stale")
	}
	somebody := w.db.MustBegin()
	t.Cleanup(func() { _ = somebody.Rollback() })
	somebody.MustExec(`UPDATE conversations SET closed_at = now() WHERE id = $1`, w.groups[0])
	stale := make(chan bool)
	go func() { stale <- looks() }()
	pgtest.Eventually(t, "the look waits", func() bool {
		return w.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	w.must(somebody.Commit())
	if !<-stale {
		t.Error("what changed before the lock was there is taken for what it is")
	}
}
