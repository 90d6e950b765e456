package chat

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"corridor/internal/eventlog"
)

// Sight is what an event is about as its reader may see it. What was not asked for, or is not for
// them, is nil.
type Sight struct {
	Conversation Conversation
	Message      *Message
	// sender is who wrote or did what the message says.
	sender UserID
	notify Notify
	// isCommon says that nothing of it is about its reader.
	isCommon bool
}

// Notify is how the message makes itself felt.
func (s Sight) Notify() *Notify { return &s.notify }

// Wanted says what of a Sight is needed.
type Wanted struct {
	Message, Sender, Files, Notify bool
	// Availability is of the sender.
	Availability bool
	// Conversation is all of it, but for what is named below, ConversationID only which one and of what kind.
	Conversation, ConversationID bool
	// LastMessage and ParticipantCount are of the conversation, and take more than a look at it.
	LastMessage, ParticipantCount bool
	// Joined, ReadPosition and UnreadCount are of the conversation, and differ between most of its participants.
	Joined, ReadPosition, UnreadCount bool
}

// Look returns the event with what it is about, for a reader who is about to be shown it. It reads the same
// as ConversationsByID, MessagesByID and Users; but an event goes to many readers at once, so what all of
// them ask for is read in one statement.
func (s *Service) Look(ctx context.Context, actor Actor, event Event, wanted Wanted) (Event, error) {
	var err error
	switch e := event.(type) {
	case MessageAdded:
		e.Sight, err = s.lookAtLine(ctx, actor, e, wanted)
		return e, err
	case MessageChanged:
		e.Sight, err = s.look(ctx, actor, e.Sight, e.ConversationID, e.MessageID, wanted)
		return e, err
	case FileChanged:
		e.Sight, err = s.look(ctx, actor, e.Sight, e.ConversationID, e.MessageID, wanted)
		return e, err
	case ConversationLeft:
		e.Sight, err = s.look(ctx, actor, e.Sight, e.ConversationID, e.MessageID, wanted)
		return e, err
	case ConversationAdded:
		e.Sight, err = s.look(ctx, actor, e.Sight, e.ConversationID, MessageID{}, wanted)
		return e, err
	case ConversationChanged:
		e.Sight, err = s.look(ctx, actor, e.Sight, e.ConversationID, MessageID{}, wanted)
		return e, err
	}
	return event, nil
}

func (s *Service) look(ctx context.Context, actor Actor, of Sight, conversation ConversationID, message MessageID, wanted Wanted) (Sight, error) {
	conversationOf := conversationSeen{actor.User.ID, actor.Clinic.StrictDirect, conversation}
	messageOf := messageSeen{actor.User.ID, message}
	var conversations *batch[conversationSeen, ConversationView]
	var messages *batch[messageSeen, Message]
	if wanted.Conversation || wanted.ConversationID || wanted.Notify {
		conversations = s.seen.conversations.ask(conversationOf)
	}
	if (wanted.Message || wanted.Notify) && message != (MessageID{}) {
		messages = s.seen.messages.ask(messageOf)
	}
	sender := s.askSender(actor, of.sender, wanted)
	view, err := conversations.answer(ctx, conversationOf)
	if err != nil {
		return Sight{}, err
	}
	if of.Message, err = messages.answer(ctx, messageOf); err != nil {
		return Sight{}, err
	}
	if view != nil {
		of.notify = notifyOf(actor.User.ID, view.standing(), of.Message)
		if err := s.knowCount(ctx, view, wanted); err != nil {
			return Sight{}, err
		}
		of.Conversation = view.kindly(actor.Clinic.Policy)
	}
	if err := s.knowFiles(ctx, actor, of.Message, wanted); err != nil {
		return Sight{}, err
	}
	return of, s.knowPeopleOf(ctx, actor, of.Message, of.sender, sender)
}

// knowCount lets the view of a group that the actor is in know how many are in it.
func (s *Service) knowCount(ctx context.Context, view *ConversationView, wanted Wanted) error {
	if !wanted.ParticipantCount || view.Kind != Group || view.State() != Active {
		return nil
	}
	count, err := s.seen.counts.ask(view.ID).answer(ctx, view.ID)
	if count != nil {
		view.participantCount = *count
	}
	return err
}

// knowFiles lets a message know its files.
func (s *Service) knowFiles(ctx context.Context, actor Actor, message *Message, wanted Wanted) error {
	if !wanted.Files || message == nil || message.FileCount == 0 {
		return nil
	}
	filesOf := messageSeen{actor.User.ID, message.ID}
	files, err := s.seen.files.ask(filesOf).answer(ctx, filesOf)
	if files != nil {
		message.files = files
	}
	return err
}

// lookAtLine is look for a line that was just added. The log brings it to nobody who may not see it, so it is
// the same for all, unless it was edited since.
func (s *Service) lookAtLine(ctx context.Context, actor Actor, event MessageAdded, wanted Wanted) (Sight, error) {
	of, reader := event.Sight, actor.User.ID
	line, muters := s.seen.line(event.MessageID)
	conversationOf := conversationSeen{reader, actor.Clinic.StrictDirect, event.ConversationID}
	var conversations *batch[conversationSeen, ConversationView]
	var standings *batch[conversationSeen, standing]
	switch {
	case wanted.Conversation:
		conversations = s.seen.conversations.ask(conversationOf)
	case wanted.Notify && muters != nil:
		standings = answered(conversationOf, standing{Muted: slices.Contains(*muters, reader)}) // nobody has read it yet
	case wanted.Notify:
		standings = s.seen.standings.ask(conversationOf)
	}
	var sender *batch[userSeen, User]
	author := authorOf(line, event.MessageID)
	if author == nil || wanted.Availability {
		sender = s.askSender(actor, of.sender, wanted)
	}
	added, err := line.answer(ctx, event.MessageID)
	switch {
	case err != nil:
		return Sight{}, err
	case added == nil: // the group was deleted
		return of, nil
	case added.IsEdited:
		return s.look(ctx, actor, of, event.ConversationID, event.MessageID, wanted)
	}
	message := added.as(reader)
	message.sender = author
	if err := s.knowFiles(ctx, actor, message, wanted); err != nil {
		return Sight{}, err
	}
	if err := s.knowPeopleOf(ctx, actor, message, of.sender, sender); err != nil {
		return Sight{}, err
	}
	stands, err := standings.answer(ctx, conversationOf)
	if err != nil {
		return Sight{}, err
	}
	view, err := conversations.answer(ctx, conversationOf)
	if err != nil {
		return Sight{}, err
	}
	if view != nil {
		stands = view.standing()
		if view.LastSeq == added.Seq {
			view.lastMessage = message
		}
		if err := s.knowCount(ctx, view, wanted); err != nil {
			return Sight{}, err
		}
	} else if wanted.ConversationID && !wanted.Conversation {
		view = &ConversationView{ID: added.ConversationID, Kind: added.ConversationKind, ActorID: reader}
	}
	of.notify = notifyOf(reader, stands, message)
	of.isCommon = added.ConversationKind == Group && message.Kind == Text && message.SenderID != nil && *message.SenderID != reader &&
		(view == nil || view.State() == Active && !view.owned())
	if view != nil {
		of.Conversation = view.kindly(actor.Clinic.Policy)
	}
	if wanted.Message {
		of.Message = message
	}
	return of, nil
}

func (s *Service) askSender(actor Actor, sender UserID, wanted Wanted) *batch[userSeen, User] {
	if !wanted.Sender || sender == (UserID{}) {
		return nil
	}
	return s.seen.users.ask(userSeen{actor.Clinic.ID, sender})
}

// knowPeopleOf lets the message of an event, if there is one, know who sent it, and say what happened if nobody wrote it.
func (s *Service) knowPeopleOf(ctx context.Context, actor Actor, message *Message, sender UserID, asked *batch[userSeen, User]) error {
	if message == nil {
		return nil
	}
	if message.Kind != Text {
		return s.knowWhatHappened(ctx, actor, message)
	}
	user, err := asked.answer(ctx, userSeen{actor.Clinic.ID, sender})
	if user != nil && message.SenderID != nil && *message.SenderID == user.ID {
		message.sender = user
	}
	return err
}

func (s *Service) knowWhatHappened(ctx context.Context, actor Actor, message *Message) error {
	find := func(id *UserID) (*User, error) {
		if id == nil {
			return nil, nil
		}
		of := userSeen{actor.Clinic.ID, *id}
		return s.seen.users.ask(of).answer(ctx, of)
	}
	var err error
	if message.sender, err = find(message.SenderID); err != nil {
		return err
	}
	if message.subject, err = find(message.SubjectID); err != nil {
		return err
	}
	message.says(actor.User.ID)
	return nil
}

// What is seen is seen by somebody.
type (
	conversationSeen struct {
		reader UserID
		strict bool
		id     ConversationID
	}
	messageSeen struct {
		reader UserID
		id     MessageID
	}
	userSeen struct {
		clinic ClinicID
		id     UserID
	}
)

// addedLine is a line of a transcript as all see it to whom it is delivered: they may, or the log would
// not have brought it to them.
type addedLine struct {
	Message
	IsEdited         bool             `db:"is_edited"`
	ConversationKind ConversationKind `db:"conversation_kind"`
	// author is who wrote it, if it was written a moment ago: as they were then, but for whether they are available.
	author *User
	// muters are who had muted the conversation when it was written, if that is known, and asked is when they were looked up.
	muters *[]UserID
	asked  time.Time
}

// as is the line as one of them sees it.
func (l addedLine) as(reader UserID) *Message {
	if l.SenderID == nil || *l.SenderID != reader {
		l.ClientKey = nil
	}
	return &l.Message
}

// seen is what many in this process ask for at the same time.
type seen struct {
	fresh         freshLines
	actors        gathering[Credential, Actor]
	lines         gathering[MessageID, addedLine]
	conversations gathering[conversationSeen, ConversationView]
	standings     gathering[conversationSeen, standing]
	counts        gathering[ConversationID, int]
	messages      gathering[messageSeen, Message]
	files         gathering[messageSeen, []File]
	users         gathering[userSeen, User]
}

func newSeen(s *Service) *seen {
	return &seen{
		actors:        gathering[Credential, Actor]{fetch: s.AllSignedIn},
		lines:         gathering[MessageID, addedLine]{fetch: s.linesAdded},
		conversations: gathering[conversationSeen, ConversationView]{fetch: s.conversationsSeen},
		standings:     gathering[conversationSeen, standing]{fetch: s.standingsSeen},
		counts:        gathering[ConversationID, int]{fetch: s.countsSeen},
		messages:      gathering[messageSeen, Message]{fetch: s.messagesSeen},
		files:         gathering[messageSeen, []File]{fetch: s.filesSeen},
		users:         gathering[userSeen, User]{fetch: s.usersSeen},
	}
}

// forEach has a query that is for the participant $1 answered for each row of wanted (reader, strict, id).
func forEach(query, id string) string { return `CROSS JOIN ` + lateral(query, id) }

// lateral is that query as what is joined to wanted.
func lateral(query, id string) string {
	query = strings.NewReplacer("$1", "wanted.reader", "$2", "wanted.strict").Replace(query)
	return `LATERAL (` + query + ` AND ` + id + ` = wanted.id OFFSET 0) AS seen`
}

var (
	conversationsSeen = `
		SELECT wanted.strict, seen.* FROM unnest($1::uuid[], $2::boolean[], $3::uuid[]) AS wanted (reader, strict, id)
		` + forEach(conversationsOf, "participants.conversation_id")
	messagesSeen = `
		SELECT wanted.reader, seen.* FROM unnest($1::uuid[], $2::uuid[]) AS wanted (reader, id)
		` + forEach(`SELECT `+messageColumns+` FROM messages`+mayRead, "messages.id")
	filesSeen = `
		SELECT wanted.reader, seen.* FROM unnest($1::uuid[], $2::uuid[]) AS wanted (reader, id)
		` + forEach(`SELECT `+fileColumnsSeen+`, files.position`+fileSeen, "files.message_id") + `
		ORDER BY seen.position`
)

func (s *Service) linesAdded(ctx context.Context, wanted []MessageID) (map[MessageID]addedLine, error) {
	const query = `
		SELECT messages.id, conversation_id, seq, messages.kind, sender_id, subject_id,
			CASE WHEN recalled_at IS NULL THEN body ELSE '' END AS body, client_key, messages.text_count, sent_at, recalled_at,
			CASE WHEN recalled_at IS NULL THEN file_count ELSE 0 END AS file_count, edited_seq IS NOT NULL AS is_edited, conversations.kind AS conversation_kind
		FROM messages JOIN conversations ON conversations.id = conversation_id AND deleted_at IS NULL
		WHERE messages.id = ANY ($1)`
	var lines []addedLine
	if err := s.db.SelectContext(ctx, &lines, query, array(wanted)); err != nil {
		return nil, fmt.Errorf("lines of events: %w", err)
	}
	return byKey(lines, func(l addedLine) MessageID { return l.ID }), nil
}

func (s *Service) conversationsSeen(ctx context.Context, wanted []conversationSeen) (map[conversationSeen]ConversationView, error) {
	readers, strict, ids := make([]UserID, len(wanted)), make([]bool, len(wanted)), make([]ConversationID, len(wanted))
	for i, w := range wanted {
		readers[i], strict[i], ids[i] = w.reader, w.strict, w.id
	}
	var rows []struct {
		Strict bool `db:"strict"`
		ConversationView
	}
	if err := s.db.SelectContext(ctx, &rows, conversationsSeen, array(readers), array(strict), array(ids)); err != nil {
		return nil, fmt.Errorf("conversations of events: %w", err)
	}
	found := make(map[conversationSeen]ConversationView, len(rows))
	for _, row := range rows {
		found[conversationSeen{row.ActorID, row.Strict, row.ID}] = row.ConversationView
	}
	return found, nil
}

func (s *Service) standingsSeen(ctx context.Context, wanted []conversationSeen) (map[conversationSeen]standing, error) {
	readers, ids := make([]UserID, len(wanted)), make([]ConversationID, len(wanted))
	for i, w := range wanted {
		readers[i], ids[i] = w.reader, w.id
	}
	const query = `
		SELECT n, ` + isMuted + ` AS muted, read_seq
		FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS wanted (reader, id, n)
		JOIN participants ON participants.user_id = wanted.reader AND participants.conversation_id = wanted.id
		WHERE left_at IS NULL`
	var rows []struct {
		N int
		standing
	}
	if err := s.db.SelectContext(ctx, &rows, query, array(readers), array(ids)); err != nil {
		return nil, fmt.Errorf("participants of events: %w", err)
	}
	found := make(map[conversationSeen]standing, len(rows))
	for _, row := range rows {
		found[wanted[row.N-1]] = row.standing
	}
	return found, nil
}

func (s *Service) countsSeen(ctx context.Context, wanted []ConversationID) (map[ConversationID]int, error) {
	const query = `
		SELECT conversation_id AS id, count(*) AS n FROM participants
		WHERE conversation_id = ANY ($1) AND left_at IS NULL GROUP BY conversation_id`
	var rows []struct {
		ID ConversationID
		N  int
	}
	if err := s.db.SelectContext(ctx, &rows, query, array(wanted)); err != nil {
		return nil, fmt.Errorf("participants of events: %w", err)
	}
	counts := make(map[ConversationID]int, len(rows))
	for _, row := range rows {
		counts[row.ID] = row.N
	}
	return counts, nil
}

func (s *Service) messagesSeen(ctx context.Context, wanted []messageSeen) (map[messageSeen]Message, error) {
	readers, ids := make([]UserID, len(wanted)), make([]MessageID, len(wanted))
	for i, w := range wanted {
		readers[i], ids[i] = w.reader, w.id
	}
	var rows []struct {
		Reader UserID `db:"reader"`
		Message
	}
	if err := s.db.SelectContext(ctx, &rows, messagesSeen, array(readers), array(ids)); err != nil {
		return nil, fmt.Errorf("messages of events: %w", err)
	}
	found := make(map[messageSeen]Message, len(rows))
	for _, row := range rows {
		found[messageSeen{row.Reader, row.ID}] = row.Message
	}
	return found, nil
}

func (s *Service) filesSeen(ctx context.Context, wanted []messageSeen) (map[messageSeen][]File, error) {
	readers, ids := make([]UserID, len(wanted)), make([]MessageID, len(wanted))
	for i, w := range wanted {
		readers[i], ids[i] = w.reader, w.id
	}
	var rows []struct {
		Reader   UserID `db:"reader"`
		Position int    `db:"position"`
		File
	}
	if err := s.db.SelectContext(ctx, &rows, filesSeen, array(readers), array(ids)); err != nil {
		return nil, fmt.Errorf("files of events: %w", err)
	}
	found := map[messageSeen][]File{}
	for _, row := range rows {
		of := messageSeen{row.Reader, *row.MessageID}
		row.searched = s.files.scans()
		found[of] = append(found[of], row.File)
	}
	return found, nil
}

func (s *Service) usersSeen(ctx context.Context, wanted []userSeen) (map[userSeen]User, error) {
	clinics, ids := make([]ClinicID, len(wanted)), make([]UserID, len(wanted))
	for i, w := range wanted {
		clinics[i], ids[i] = w.clinic, w.id
	}
	const query = `
		SELECT ` + userColumns + `, presence.seen_at
		FROM (SELECT DISTINCT clinic, id FROM unnest($1::uuid[], $2::uuid[]) AS given (clinic, id)) AS wanted
		JOIN users ON users.id = wanted.id AND users.clinic_id = wanted.clinic
		LEFT JOIN presence ON presence.user_id = users.id`
	var users []User
	if err := s.db.SelectContext(ctx, &users, query, array(clinics), array(ids)); err != nil {
		return nil, fmt.Errorf("senders of events: %w", err)
	}
	return byKey(users, func(u User) userSeen { return userSeen{u.ClinicID, u.ID} }), nil
}

// line asks for a line that was just added. What this process wrote a moment ago it need not read, nor perhaps who has muted the conversation.
func (s *seen) line(id MessageID) (_ *batch[MessageID, addedLine], muters *[]UserID) {
	if written, muters := s.fresh.get(id); written != nil {
		return written, muters
	}
	return s.lines.ask(id), nil
}

// authorOf is who wrote a line that was written a moment ago, nil if that is not known yet.
func authorOf(line *batch[MessageID, addedLine], id MessageID) *User {
	select {
	case <-line.read:
		return line.found[id].author
	default:
		return nil
	}
}

const (
	// staysFresh is how long a line is taken for what was written: another process may have edited, recalled
	// or deleted it since, and somebody may have muted the conversation or read it there.
	staysFresh = 50 * time.Millisecond
	// maxFresh bounds the lines that are kept.
	maxFresh = 512
)

// freshLines are the lines that this process wrote last.
type freshLines struct {
	mu    sync.Mutex
	lines [maxFresh]freshLine
	next  int
	at    map[MessageID]int
	// changed is when somebody changed how they stand to a conversation, and since from when on that is known.
	changed map[ConversationID]time.Time
	since   time.Time
}

type freshLine struct {
	addedLine
	written time.Time
	// answer is the line, as if somebody had asked for it.
	answer *batch[MessageID, addedLine]
}

// put takes what was committed.
func (f *freshLines) put(lines []addedLine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		f.at = make(map[MessageID]int, maxFresh)
	}
	for _, line := range lines {
		if f.at[f.lines[f.next].ID] == f.next {
			delete(f.at, f.lines[f.next].ID)
		}
		f.lines[f.next] = freshLine{line, time.Now(), answered(line.ID, line)}
		f.at[line.ID] = f.next
		f.next = (f.next + 1) % maxFresh
	}
}

// forget lets go of what is not as it was written any more, and of how those stood to it who hear of it.
func (f *freshLines) forget(events []eventlog.Event) {
	for _, event := range events {
		switch {
		case event.Kind == kindMessageChanged, event.Kind == kindGroupDeleted:
			f.mu.Lock()
			for id, i := range f.at {
				if line := f.lines[i]; id.UUID == event.Object || event.Kind == kindGroupDeleted && line.ConversationID.UUID == event.Scope {
					delete(f.at, id)
				}
			}
			f.mu.Unlock()
		case event.Kind == kindSettings, len(event.Closes) > 0:
			f.changes(ConversationID{event.Scope})
		}
	}
}

// changes notes that somebody stands to a conversation in another way from now on, and has been told so.
func (f *freshLines) changes(id ConversationID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if len(f.changed) == maxFresh {
		f.changed, f.since = nil, now
	}
	if f.changed == nil {
		f.changed = make(map[ConversationID]time.Time)
	}
	f.changed[id] = now
}

// get returns nil if the line is not among them, and no muters if somebody may stand to its conversation in another way since they were looked up.
func (f *freshLines) get(id MessageID) (line *batch[MessageID, addedLine], muters *[]UserID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.at[id]
	if !ok || time.Since(f.lines[i].written) > staysFresh {
		return nil, nil
	}
	fresh := &f.lines[i]
	if fresh.asked.After(f.since) && fresh.asked.After(f.changed[fresh.ConversationID]) {
		muters = fresh.muters
	}
	return fresh.answer, muters
}

const (
	// gatherAtOnce bounds the statements of one kind that run at a time: what is asked for meanwhile comes
	// into the next one, so that statements grow with the load and their number does not.
	gatherAtOnce = 2
	// gatherMost bounds one statement.
	gatherMost = 1000
	// gatherTime bounds what it may take.
	gatherTime = 10 * time.Second
)

// A gathering puts questions that come at the same time into one statement. Nobody waits for others to
// ask, and every answer was read after it was asked for.
type gathering[K comparable, V any] struct {
	fetch func(context.Context, []K) (map[K]V, error)

	mu      sync.Mutex
	waiting []*batch[K, V]
	running int
}

type batch[K comparable, V any] struct {
	keys  map[K]struct{}
	read  chan struct{}
	found map[K]V
	err   error
}

// answered is a question whose answer is known.
func answered[K comparable, V any](key K, value V) *batch[K, V] {
	b := &batch[K, V]{read: make(chan struct{}), found: map[K]V{key: value}}
	close(b.read)
	return b
}

// ask puts a question, without waiting for its answer.
func (g *gathering[K, V]) ask(key K) *batch[K, V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.waiting)
	if n == 0 || len(g.waiting[n-1].keys) == gatherMost {
		g.waiting = append(g.waiting, &batch[K, V]{keys: map[K]struct{}{}, read: make(chan struct{})})
		n++
	}
	b := g.waiting[n-1]
	b.keys[key] = struct{}{}
	if g.running < gatherAtOnce {
		g.running++
		go g.run()
	}
	return b
}

func (g *gathering[K, V]) run() {
	for {
		runtime.Gosched() // whoever was woken by the same event asks first
		g.mu.Lock()
		if len(g.waiting) == 0 {
			g.running--
			g.mu.Unlock()
			return
		}
		b := g.waiting[0]
		g.waiting = g.waiting[1:]
		g.mu.Unlock()
		func() {
			defer close(b.read)
			defer func() {
				if panicked := recover(); panicked != nil { // which would end the process
					b.found, b.err = nil, fmt.Errorf("panic (%T): %s", panicked, debug.Stack())
				}
			}()
			ctx, cancel := context.WithTimeout(context.Background(), gatherTime)
			defer cancel()
			b.found, b.err = g.fetch(ctx, slices.Collect(maps.Keys(b.keys)))
		}()
	}
}

// answer waits for what there is of the key, nil if there is nothing, as of a question that was not asked.
func (b *batch[K, V]) answer(ctx context.Context, key K) (*V, error) {
	if b == nil {
		return nil, nil
	}
	select {
	case <-b.read:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	value, ok := b.found[key]
	if !ok || b.err != nil {
		return nil, b.err
	}
	return &value, nil
}
