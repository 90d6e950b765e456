package chat

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"corridor/internal/postgres"
)

// Messages that are sent at the same time are written together. As long as fewer than maxCarriers transactions of messages are
// under way, a message goes at once; what comes meanwhile goes with the next one. So transactions grow with the load, and nobody
// waits for others to come. Within one each message is judged, answered and refused by itself.
//
// Such a transaction waits for nobody: a message is left out if somebody else has the lock of its conversation, and if anything
// fails, all are. What was left out goes again by conversation, which waits for locks, and if that fails each message goes alone.
const (
	// maxCarriers bounds the transactions under way, besides those that go again.
	maxCarriers = 2
	// maxTogether bounds the messages in one.
	maxTogether = 32
	// maxTries bounds how often a message that is alone is tried with patience because of what others did.
	maxTries = 5
	// lettersPatience is how long a transaction that waits for nobody does wait, for what can't be known to be locked.
	lettersPatience = 100 * time.Millisecond
)

// letter is a message on its way.
type letter struct {
	values      context.Context // of the call
	actor       Actor
	in          SendMessageInput
	body        string
	fingerprint []byte
	key         clientKey
	id          MessageID

	// tries counts how often it was tried with patience.
	tries int
	// writing says that a transaction has it, back that whoever sent it gave up. Both are the outbox's.
	writing, back bool
	// held says that somebody else has the lock of the conversation, view is what the actor sees behind it.
	held bool
	view *ConversationView
	// One of these is the answer: what was written, what an earlier call wrote, or why nothing was.
	sent     *Message
	earlier  MessageID
	err      error
	answered chan struct{}
}

// clientKey names a call of a person.
type clientKey struct {
	user UserID
	key  string
}

func (l *letter) to() ConversationID { return l.in.ConversationID }

// sender is somebody who sends to a conversation.
type sender struct {
	user UserID
	to   ConversationID
}

func (l *letter) from() sender { return sender{l.key.user, l.to()} }

// outbox has the messages that wait to be written.
type outbox struct {
	mu      sync.Mutex
	waiting []*letter // in the order in which they came
	// underWay counts the letters that are being written by conversation and by call: others of these wait for them.
	underWay map[any]int
	carriers int
	// patient bounds how many of the writers wait for somebody's lock, so that others can write meanwhile.
	patient chan struct{}
}

// send hands over a message and waits until it is answered.
func (s *Service) send(ctx context.Context, l *letter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.outbox.mu.Lock()
	s.outbox.waiting = append(s.outbox.waiting, l)
	s.outbox.mu.Unlock()
	s.carry()
	select {
	case <-l.answered:
		return l.err
	case <-ctx.Done():
	}
	if s.outbox.takeBack(l) {
		return ctx.Err()
	}
	<-l.answered // given up in the middle, nobody would know whether it happened
	return l.err
}

// takeBack takes a message back, at once if no transaction has it, and otherwise if that leaves it out.
func (o *outbox) takeBack(l *letter) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.waiting, l); i >= 0 {
		o.waiting = slices.Delete(o.waiting, i, i+1)
		return true
	}
	l.back = true
	return !l.writing
}

// begin returns the letters that nobody took back, which are in a transaction from now on.
func (o *outbox) begin(letters []*letter) (batch []*letter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range letters {
		if l.back {
			o.close(l)
			continue
		}
		l.writing = true
		batch = append(batch, l)
	}
	return batch
}

// again returns the letters that nobody took back meanwhile, and no transaction has any more.
func (o *outbox) again(letters []*letter) (left []*letter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range letters {
		if l.back {
			l.err = l.values.Err()
			o.close(l)
			continue
		}
		l.writing = false
		left = append(left, l)
	}
	return left
}

// carry sees to it that what waits is written, by a carrier that goes on until nothing waits that can go.
func (s *Service) carry() {
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	if len(s.outbox.waiting) > 0 && s.outbox.carriers < maxCarriers {
		s.outbox.carriers++
		go s.carryAll()
	}
}

func (s *Service) carryAll() {
	for {
		runtime.Gosched() // whoever was answered together sends the next message first
		s.writers <- struct{}{}
		batch := s.outbox.next()
		if len(batch) == 0 {
			<-s.writers
			return
		}
		left := s.post(batch, false)
		<-s.writers
		for _, letters := range byConversation(left) {
			// They wait if there is nothing else that they could do.
			go s.insist(letters, letters[0].held || len(letters) == len(batch))
		}
	}
}

func byConversation(letters []*letter) map[ConversationID][]*letter {
	parted := map[ConversationID][]*letter{}
	for _, l := range letters {
		parted[l.to()] = append(parted[l.to()], l)
	}
	return parted
}

// insist writes letters to one conversation that did not go with others: first without waiting for locks, then with patience, and
// then each alone. As long as all places of those who are patient are taken, it looks from time to time whether it can do without.
func (s *Service) insist(letters []*letter, patiently bool) {
	for pause := lettersPatience; len(letters) > 0; pause = min(2*pause, time.Second) {
		waits := patiently && s.outbox.becomesPatient(pause)
		s.writers <- struct{}{}
		letters = s.post(letters, waits)
		<-s.writers
		if waits {
			<-s.outbox.patient
			break
		}
		patiently = true
	}
	for _, l := range letters {
		s.insist([]*letter{l}, true)
	}
}

// becomesPatient tells whether there was a place for somebody who waits for locks, within a time.
func (o *outbox) becomesPatient(within time.Duration) bool {
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case o.patient <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

// next takes what may go together from what waits. If there is nothing, the carrier has come to its end.
func (o *outbox) next() (batch []*letter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken, passed := map[ConversationID]bool{}, map[any]bool{}
	rest := o.waiting[:0]
	for _, l := range o.waiting {
		// Files are attached to one message at a time.
		full := len(batch) == maxTogether || len(batch) > 0 && (l.hasFiles() || batch[0].hasFiles())
		closed := full || passed[l.to()] || o.underWay[l.to()] > 0 && !taken[l.to()]
		if closed || passed[l.from()] || o.underWay[l.key] > 0 {
			passed[l.from()], passed[l.to()] = true, closed // who uses a key twice holds up nobody else
			rest = append(rest, l)
			continue
		}
		taken[l.to()] = true
		o.underWay[l.to()]++
		o.underWay[l.key]++
		batch = append(batch, l)
	}
	clear(o.waiting[len(rest):])
	o.waiting = rest
	if len(batch) == 0 {
		o.carriers--
	}
	return batch
}

func (l *letter) hasFiles() bool { return len(l.in.FileIDs) > 0 }

// post writes letters in one transaction and answers them, but for those that it returns: they have to go again.
func (s *Service) post(letters []*letter, patiently bool) (left []*letter) {
	defer s.carry()
	batch := s.outbox.begin(letters)
	if len(batch) == 0 {
		return nil
	}
	err := s.commitLetters(batch, patiently)
	if len(batch) > 1 && postgres.Refused(err) || retriable(err) && batch[0].tries < maxTries {
		return s.outbox.again(batch)
	}
	var answered []*letter
	for _, l := range batch {
		switch {
		case err != nil:
			l.sent, l.err = nil, err
		case l.held:
			left = append(left, l)
			continue
		}
		answered = append(answered, l)
	}
	s.outbox.answer(answered)
	return s.outbox.again(left)
}

// commitLetters is writeLetters in a transaction.
func (s *Service) commitLetters(batch []*letter, patiently bool) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil { // which would end the process
			err = fmt.Errorf("panic (%T): %s", panicked, debug.Stack())
		}
	}()
	return s.commit(batch[0].values, lane{}, Actor{}, func(ctx context.Context, tx *transaction) error {
		return tx.writeLetters(ctx, batch, patiently)
	})
}

// retriable tells whether a transaction failed by what others did at the same time.
func retriable(err error) bool {
	return postgres.Deadlock(err) || postgres.Violates(err, "client_keys_pkey")
}

func (o *outbox) answer(letters []*letter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range letters {
		o.close(l)
	}
}

// close lets those go who wait for a letter.
func (o *outbox) close(l *letter) {
	for _, of := range []any{l.to(), l.key} {
		if o.underWay[of]--; o.underWay[of] == 0 {
			delete(o.underWay, of)
		}
	}
	close(l.answered)
}
