package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"corridor/internal/eventlog"
)

// ConversationKind tells a conversation of two from a group.
type ConversationKind string

// The kinds of conversations.
const (
	Direct ConversationKind = "DIRECT"
	Group  ConversationKind = "GROUP"
)

// MembershipState is how a person stands to a conversation.
type MembershipState string

// The states of a membership.
const (
	Active  MembershipState = "ACTIVE"
	Left    MembershipState = "LEFT"
	Removed MembershipState = "REMOVED"
)

// Conversation is a direct conversation or a group, as one person sees it.
type Conversation interface {
	IsConversation()
	IsNode()
	IsChatTarget()
	view() *ConversationView
}

// DirectConversation is the one conversation of two people.
type DirectConversation struct{ ConversationView }

// GroupConversation is a conversation with a name and an owner. For somebody who left, it is what
// it was then.
type GroupConversation struct{ ConversationView }

// IsConversation makes both kinds conversations in GraphQL.
func (ConversationView) IsConversation() {}

// IsNode makes both kinds nodes in GraphQL.
func (ConversationView) IsNode() {}

// IsChatTarget makes both kinds something that New Chat finds.
func (ConversationView) IsChatTarget() {}

func (c ConversationView) view() *ConversationView { return &c }

// IsNode makes a user a node in GraphQL.
func (User) IsNode() {}

// IsChatTarget makes a contact something that New Chat finds.
func (Contact) IsChatTarget() {}

// ConversationView is what both kinds of conversations have, as one person sees it: the actor.
type ConversationView struct {
	ID        ConversationID   `db:"id"`
	Kind      ConversationKind `db:"kind"`
	Stream    int64            `db:"stream"`
	Name      string           `db:"name"`
	OwnerID   *UserID          `db:"owner_id"`
	CreatedAt time.Time        `db:"created_at"`
	// LastActivityAt is the time of the last line that the actor may see.
	LastActivityAt time.Time  `db:"last_activity_at"`
	LastSeq        int64      `db:"last_seq"`
	TextCount      int64      `db:"text_count"`
	ClosedAt       *time.Time `db:"closed_at"`
	// UnreadCount is how many messages of others the actor may see and has not read.
	UnreadCount int `db:"unread_count"`

	ActorID    UserID     `db:"user_id"`
	JoinedAt   time.Time  `db:"joined_at"`
	LeftAt     *time.Time `db:"left_at"`
	LeftReason *string    `db:"left_reason"`
	ReadSeq    int64      `db:"read_seq"`
	Muted      bool       `db:"muted"`
	// MutedUntil is empty if there is no end to it.
	MutedUntil *time.Time `db:"muted_until"`
	ArchivedAt *time.Time `db:"archived_at"`

	// PeerID is the other person of a direct conversation.
	PeerID     *UserID `db:"peer_id"`
	PeerActive bool    `db:"peer_active"`
	// PeerInReach tells whether the two share a waiting room, in a clinic that asks for it.
	PeerInReach bool `db:"peer_in_reach"`

	policy Policy
	// lastMessage and participantCount are there if they were looked up with it.
	lastMessage      *Message
	participantCount int
}

// KnownLastMessage is the last line that the actor may see, nil if it was not looked up with the conversation.
func (c *ConversationView) KnownLastMessage() *Message { return c.lastMessage }

// KnownParticipantCount is how many are in the group, 0 if it was not looked up with it.
func (c *ConversationView) KnownParticipantCount() int { return c.participantCount }

const (
	// unreadCount is a difference of two counters, less what was recalled since: it reads no
	// messages but the recalled ones, which have an index of their own.
	unreadCount = `GREATEST(0, COALESCE(participants.left_text_count, conversations.text_count)
		- participants.read_text_count - (
			SELECT count(*) FROM messages
			WHERE messages.conversation_id = conversations.id AND recalled_at IS NOT NULL
				AND messages.seq > participants.read_seq AND EXISTS (
					SELECT FROM spans WHERE reader = participants.user_id AND spans.stream = conversations.stream
						AND messages.seq BETWEEN from_seq AND to_seq)))`

	isMuted = `(muted_at IS NOT NULL AND (muted_until IS NULL OR muted_until > now()))`

	// conversationsOf selects conversations as the participant $1 sees them; $2 is whether direct
	// conversations need a shared waiting room. What was deleted exists for nobody.
	conversationsOf = `
		SELECT conversations.id, conversations.kind, conversations.stream,
			COALESCE(participants.left_name, conversations.name, '') AS name,
			CASE WHEN participants.left_at IS NULL THEN conversations.owner_id ELSE left_owner_id END AS owner_id,
			conversations.created_at, COALESCE(left_activity_at, conversations.last_activity_at) AS last_activity_at,
			COALESCE(left_seq, conversations.last_seq) AS last_seq,
			COALESCE(left_text_count, conversations.text_count) AS text_count,
			conversations.closed_at, ` + unreadCount + ` AS unread_count,
			participants.user_id, participants.joined_at, participants.left_at, participants.left_reason,
			participants.read_seq, ` + isMuted + ` AS muted,
			CASE WHEN ` + isMuted + ` THEN participants.muted_until END AS muted_until, participants.archived_at,
			peer.id AS peer_id, peer.id IS NOT NULL AND peer.deactivated_at IS NULL AS peer_active,
			NOT $2::boolean OR EXISTS (SELECT FROM (` + contactsOf + `) AS book WHERE book.user_id = peer.id) AS peer_in_reach
		FROM participants ` + theirConversation + `
		LEFT JOIN LATERAL (
			SELECT id, deactivated_at FROM users
			WHERE id = CASE WHEN conversations.first_user_id = participants.user_id
				THEN conversations.second_user_id ELSE conversations.first_user_id END
			OFFSET 0
		) AS peer ON true
		WHERE participants.user_id = $1`

	// theirConversation joins the conversation of participants, unless it was deleted. OFFSET 0 has it
	// looked up for each: a person has few of all conversations, and Postgres believes the contrary.
	theirConversation = `
		CROSS JOIN LATERAL (
			SELECT * FROM conversations WHERE id = participants.conversation_id AND deleted_at IS NULL OFFSET 0
		) AS conversations`
)

// State is how the actor stands to the conversation.
func (c *ConversationView) State() MembershipState {
	if c.LeftAt == nil {
		return Active
	}
	return MembershipState(*c.LeftReason)
}

// ViewerMembership is how a person stands to a conversation.
type ViewerMembership struct {
	State    MembershipState
	JoinedAt time.Time
	LeftAt   *time.Time
	// Notice is what the end of the transcript says to who is not in it any more.
	Notice *string
}

// ViewerMembership is how the actor stands to the conversation (S51, E9).
func (c *ConversationView) ViewerMembership() *ViewerMembership {
	membership := &ViewerMembership{State: c.State(), JoinedAt: c.JoinedAt, LeftAt: c.LeftAt}
	notice := textYouLeft
	switch membership.State {
	case Active:
		return membership
	case Removed:
		notice = textYouWereRemoved
	}
	membership.Notice = &notice
	return membership
}

// ViewerSettings is what a person set for themselves in a conversation.
type ViewerSettings struct {
	IsMuted    bool
	MutedUntil *time.Time
	ArchivedAt *time.Time
}

// ViewerSettings is what the actor set for themselves.
func (c *ConversationView) ViewerSettings() *ViewerSettings {
	return &ViewerSettings{IsMuted: c.Muted, MutedUntil: c.MutedUntil, ArchivedAt: c.ArchivedAt}
}

// ViewerReadCursor is the actor's read position in the transcript.
func (c *ConversationView) ViewerReadCursor() string {
	return Message{ConversationID: c.ID, Seq: c.ReadSeq}.Cursor()
}

// owned tells whether the actor owns the group now.
func (c *ConversationView) owned() bool {
	return c.State() == Active && c.OwnerID != nil && *c.OwnerID == c.ActorID
}

// kindly gives the view its kind.
func (c *ConversationView) kindly(policy Policy) Conversation {
	c.policy = policy
	if c.Kind == Direct {
		return &DirectConversation{*c}
	}
	return &GroupConversation{*c}
}

// Position is the conversation's place in the list of recent ones, for a cursor.
func (c *ConversationView) Position() []string {
	return []string{timePosition(c.LastActivityAt), c.ID.String()}
}

// ConversationPosition is the place of a conversation in the list of recent ones, for a cursor.
func ConversationPosition(c Conversation) []string { return c.view().Position() }

// ConversationFilter says which conversations are wanted. What is nil does not matter.
type ConversationFilter struct {
	Archived *bool
	Unread   *bool
	Kind     *ConversationKind
}

// Conversations returns a page of the actor's conversations, the most recently active first.
// Direct conversations are listed from their first message on.
func (s *Service) Conversations(ctx context.Context, actor Actor, filter ConversationFilter, page Forward) (Page[Conversation], error) {
	activity, id, err := page.afterTime()
	if err != nil {
		return Page[Conversation]{}, err
	}
	const query = `
		WITH listed AS (
			SELECT conversation_id, COALESCE(left_activity_at, last_activity_at) AS activity
			FROM participants ` + theirConversation + `
			WHERE user_id = $1 AND last_seq > 0
				AND ($3::boolean IS NULL OR $3 = (archived_at IS NOT NULL))
				AND ($4::boolean IS NULL OR $4 = (` + unreadCount + ` > 0))
				AND ($5::text IS NULL OR kind = $5)
				AND ($6::bigint IS NULL OR (COALESCE(left_activity_at, last_activity_at), conversation_id)
					< ('epoch'::timestamptz + $6 * interval '1 microsecond', $7::uuid))
			ORDER BY activity DESC, conversation_id DESC
			LIMIT $8
		)` + conversationsOf + ` AND participants.conversation_id IN (SELECT conversation_id FROM listed)
		ORDER BY last_activity_at DESC, conversations.id DESC`
	var views []*ConversationView
	cursor, err := s.read(ctx, actor, page.WithCursor, &views, query, actor.User.ID, actor.Clinic.StrictDirect, filter.Archived,
		filter.Unread, filter.Kind, activity, id, page.First+1)
	if err != nil {
		return Page[Conversation]{}, fmt.Errorf("conversations: %w", err)
	}
	conversations := make([]Conversation, len(views))
	for i, view := range views {
		conversations[i] = view.kindly(actor.Clinic.Policy)
	}
	return forward(conversations, page).from(cursor), nil
}

// ConversationsByID returns those of the conversations that the actor may see.
func (s *Service) ConversationsByID(ctx context.Context, actor Actor, ids []ConversationID) (map[ConversationID]Conversation, error) {
	const query = conversationsOf + ` AND participants.conversation_id = ANY ($3)`
	return s.conversationMap(ctx, actor, query, array(ids))
}

// DirectConversationsWith returns the actor's direct conversations with the users, by user.
func (s *Service) DirectConversationsWith(ctx context.Context, actor Actor, users []UserID) (map[UserID]*DirectConversation, error) {
	const query = conversationsOf + ` AND conversations.kind = 'DIRECT' AND peer.id = ANY ($3)`
	found, err := s.conversationMap(ctx, actor, query, array(users))
	if err != nil {
		return nil, err
	}
	byPeer := make(map[UserID]*DirectConversation, len(found))
	for _, conversation := range found {
		if direct, ok := conversation.(*DirectConversation); ok {
			byPeer[*direct.PeerID] = direct
		}
	}
	return byPeer, nil
}

func (s *Service) conversationMap(ctx context.Context, actor Actor, query string, argument any) (map[ConversationID]Conversation, error) {
	var views []*ConversationView
	if err := s.find(ctx, &views, query, actor.User.ID, actor.Clinic.StrictDirect, argument); err != nil {
		return nil, fmt.Errorf("conversations: %w", err)
	}
	found := make(map[ConversationID]Conversation, len(views))
	for _, view := range views {
		found[view.ID] = view.kindly(actor.Clinic.Policy)
	}
	return found, nil
}

// conversation returns one conversation after a change of it.
func (s *Service) conversation(ctx context.Context, actor Actor, id ConversationID) (Conversation, error) {
	found, err := s.ConversationsByID(ctx, actor, []ConversationID{id})
	if err != nil {
		return nil, err
	}
	if found[id] == nil {
		return nil, refuse(CodeConversationDeleted, textGroupDeleted).of("conversationId")
	}
	return found[id], nil
}

func (s *Service) group(ctx context.Context, actor Actor, id ConversationID) (*GroupConversation, error) {
	found, err := s.conversation(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	group, ok := found.(*GroupConversation)
	if !ok {
		return nil, refuse(CodeGroupOnly, "This is a direct conversation, not a group.").of("conversationId")
	}
	return group, nil
}

// Unread is what the chat bubble shows: it leaves out what is muted or archived (E16, E19).
type Unread struct {
	Conversations int `db:"conversations"`
	Messages      int `db:"messages"`
}

// Unread counts what the actor has not read.
func (s *Service) Unread(ctx context.Context, actor Actor) (Unread, error) {
	const query = `
		SELECT count(*) FILTER (WHERE unread > 0) AS conversations, COALESCE(sum(unread), 0) AS messages
		FROM (
			SELECT ` + unreadCount + ` AS unread FROM participants ` + theirConversation + `
			WHERE user_id = $1 AND archived_at IS NULL AND NOT ` + isMuted + `
			OFFSET 0 -- counted once, and not for each of the two sums
		) AS counted`
	var unread Unread
	if err := s.reading(ctx, func(db *sqlx.DB) error { return db.GetContext(ctx, &unread, query, actor.User.ID) }); err != nil {
		return Unread{}, fmt.Errorf("unread: %w", err)
	}
	return unread, nil
}

// ChatTarget is what New Chat finds: a contact, a group, or a direct conversation with somebody
// who is not a contact any more.
type ChatTarget interface{ IsChatTarget() }

// Node is what can be found by its id alone.
type Node interface{ IsNode() }

// ChatTargets returns a page of what New Chat finds for a search: contacts first, by name, then
// the conversations that no contact stands for, the most recent first. Archived ones are found
// too (S48).
func (s *Service) ChatTargets(ctx context.Context, actor Actor, search string, page Forward) (Page[ChatTarget], error) {
	words, err := s.searchWords(actor, search)
	if err != nil {
		return Page[ChatTarget]{}, err
	}
	after, err := page.afterText(3)
	if err != nil {
		return Page[ChatTarget]{}, err
	}
	if after != nil {
		if _, err := strconv.ParseInt(after[1], 10, 64); after[0] != "contact" && (after[0] != "conversation" || err != nil) {
			return Page[ChatTarget]{}, foreignCursor("after")
		}
	}
	cursor, err := s.cursorBefore(ctx, actor, page.WithCursor)
	if err != nil {
		return Page[ChatTarget]{}, err
	}
	var targets []ChatTarget
	if after == nil || after[0] == "contact" {
		people := Forward{First: page.First}
		if after != nil {
			people.After = Cursor(after[1:])
		}
		contacts, err := s.contacts(ctx, actor, words, ContactSearch{}, people)
		if err != nil {
			return Page[ChatTarget]{}, err
		}
		for _, contact := range contacts.Items {
			targets = append(targets, contact)
		}
		if contacts.HasNext {
			return Page[ChatTarget]{Items: targets, HasNext: true, HasPrevious: page.After != "", EventCursor: cursor}, nil
		}
		after = nil
	}
	const query = conversationsOf + `
			AND (conversations.kind = 'GROUP' OR conversations.last_seq > 0 AND NOT EXISTS (
				SELECT FROM (` + contactsOf + `) AS book WHERE book.user_id = peer.id))
		ORDER BY last_activity_at DESC, conversations.id DESC`
	var views []*ConversationView
	if err := s.find(ctx, &views, query, actor.User.ID, actor.Clinic.StrictDirect); err != nil {
		return Page[ChatTarget]{}, fmt.Errorf("chat targets: %w", err)
	}
	peers, err := s.peers(ctx, actor, views)
	if err != nil {
		return Page[ChatTarget]{}, err
	}
	for _, view := range views {
		// Names are folded here and not in Postgres: there is one rule of what is alike.
		text := fold(view.Name)
		if view.PeerID != nil {
			// Not by the address: only contacts see it.
			text = fold(peers[*view.PeerID].Name)
		}
		if contains(text, words) && after.before(view) {
			targets = append(targets, view.kindly(actor.Clinic.Policy))
		}
	}
	return forward(targets, page).from(cursor), nil
}

// peers returns the other people of direct conversations.
func (s *Service) peers(ctx context.Context, actor Actor, views []*ConversationView) (map[UserID]User, error) {
	var ids []UserID
	for _, view := range views {
		if view.PeerID != nil {
			ids = append(ids, *view.PeerID)
		}
	}
	return s.Users(ctx, actor, ids)
}

// TargetPosition is the place of a target among what New Chat finds, for a cursor.
func TargetPosition(target ChatTarget) []string {
	switch target := target.(type) {
	case Contact:
		return append([]string{"contact"}, target.Position()...)
	case Conversation:
		return append([]string{"conversation"}, target.view().Position()...)
	default:
		panic(fmt.Sprintf("no chat target: %T", target))
	}
}

// before tells whether the position of a conversation comes before the conversation in the list.
func (p position) before(view *ConversationView) bool {
	if p == nil {
		return true
	}
	at, id := view.LastActivityAt.UnixMicro(), view.ID.String()
	after, err := strconv.ParseInt(p[1], 10, 64)
	return err == nil && (at < after || at == after && id < p[2])
}

// enter begins a change of a conversation: it takes the conversation's lock, which orders all
// changes of it, and returns what the actor sees behind it. To outsiders it does not exist, nor do
// they wait for its lock or hold it; who took part hears that it was deleted (E21).
func enter(ctx context.Context, tx *transaction, id ConversationID) (*ConversationView, error) {
	const lock = `
		SELECT deleted_at IS NOT NULL FROM conversations
		WHERE id = $1 AND clinic_id = $2 AND EXISTS (
			SELECT FROM participants WHERE conversation_id = $1 AND user_id = $3)
		FOR NO KEY UPDATE`
	var deleted bool
	err := tx.GetContext(ctx, &deleted, lock, id, tx.actor.Clinic.ID, tx.actor.User.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("conversation", "conversationId")
	}
	if err != nil {
		return nil, fmt.Errorf("enter the conversation: %w", err)
	}
	if deleted {
		return nil, &Error{Code: CodeConversationDeleted, Message: textGroupDeleted, Field: []string{"conversationId"}}
	}
	// Behind the lock in a statement of its own: it sees what the holder before us committed, which
	// may have been the end of the actor's account.
	const query = conversationsOf + ` AND participants.conversation_id = $3
		AND EXISTS (SELECT FROM users WHERE id = $1 AND deactivated_at IS NULL)`
	var view ConversationView
	err = tx.GetContext(ctx, &view, query, tx.actor.User.ID, tx.actor.Clinic.StrictDirect, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("conversation", "conversationId")
	}
	if err != nil {
		return nil, fmt.Errorf("enter the conversation: %w", err)
	}
	view.policy = tx.actor.Clinic.Policy
	return &view, nil
}

// StartDirectConversationInput says with whom to talk.
type StartDirectConversationInput struct {
	ClientKey string
	UserID    UserID
}

// StartDirectConversation returns the one conversation with a contact, and begins it if there is
// none yet (S20, S21, E27). One that was archived comes back to the list (S48). A conversation
// that exists is returned also if the two share no waiting room any more (E12).
func (s *Service) StartDirectConversation(ctx context.Context, actor Actor, in StartDirectConversationInput) (*DirectConversation, error) {
	id, err := change(ctx, s, actor, "startDirectConversation", in.ClientKey, in, func(ctx context.Context, tx *transaction) (ConversationID, error) {
		const query = `
			SELECT
				EXISTS (SELECT FROM (` + contactsOf + `) AS book WHERE book.user_id = $2) AS contact,
				(SELECT id FROM conversations WHERE first_user_id = LEAST($1::uuid, $2) AND second_user_id = GREATEST($1, $2)) AS id`
		var known struct {
			Contact bool
			ID      *ConversationID
		}
		if err := tx.GetContext(ctx, &known, query, actor.User.ID, in.UserID); err != nil {
			return ConversationID{}, fmt.Errorf("find the direct conversation: %w", err)
		}
		switch {
		case known.ID != nil:
			if back, err := setArchived(ctx, tx, *known.ID, false); err != nil || !back {
				return *known.ID, err
			}
			return *known.ID, tx.tell(ctx, kindSettings, *known.ID)
		case known.Contact:
			return startDirect(ctx, tx, in.UserID)
		default:
			return ConversationID{}, &Error{Code: CodeNotInContactList, Message: textNotInContacts, Field: []string{"userId"}}
		}
	})
	if err != nil {
		return nil, err
	}
	conversation, err := s.conversation(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	return conversation.(*DirectConversation), nil
}

func startDirect(ctx context.Context, tx *transaction, with UserID) (ConversationID, error) {
	actor := tx.actor.User.ID
	streams, err := eventlog.NewStreams(ctx, tx.Tx, 1)
	if err != nil {
		return ConversationID{}, err
	}
	const insert = `
		INSERT INTO conversations (id, clinic_id, kind, stream, first_user_id, second_user_id)
		VALUES ($1, $2, 'DIRECT', $3, LEAST($4::uuid, $5), GREATEST($4, $5))
		ON CONFLICT ON CONSTRAINT conversations_direct_pair DO NOTHING`
	id := ConversationID{newID()}
	inserted, err := tx.ExecContext(ctx, insert, id, tx.actor.Clinic.ID, streams[0], actor, with)
	if err != nil {
		return ConversationID{}, fmt.Errorf("start a direct conversation: %w", err)
	}
	if n, err := inserted.RowsAffected(); err != nil {
		return ConversationID{}, err
	} else if n == 0 {
		// The other person, or another device, was faster.
		const query = `SELECT id FROM conversations WHERE first_user_id = LEAST($1::uuid, $2) AND second_user_id = GREATEST($1, $2)`
		err := tx.GetContext(ctx, &id, query, actor, with)
		return id, err
	}
	if err := join(ctx, tx, id, []UserID{actor, with}, 0, 0); err != nil {
		return ConversationID{}, err
	}
	_, err = tx.append(ctx, eventlog.Event{
		Stream: streams[0], Kind: kindDirectStarted, Scope: id.UUID, Opens: plain([]UserID{actor, with}),
	})
	return id, err
}

// CreateGroupInput says what the group is called and who is in it.
type CreateGroupInput struct {
	ClientKey string
	Name      string
	UserIDs   []UserID
}

// CreateGroup makes a group of the actor, who owns it, and contacts of theirs (E1).
func (s *Service) CreateGroup(ctx context.Context, actor Actor, in CreateGroupInput) (*GroupConversation, error) {
	name, err := validGroupName(in.Name)
	if err != nil {
		return nil, err
	}
	people, err := validPeople(in.UserIDs)
	if err != nil {
		return nil, err
	}
	id, err := change(ctx, s, actor, "createGroup", in.ClientKey, in, func(ctx context.Context, tx *transaction) (ConversationID, error) {
		contacts, err := contactsAmong(ctx, tx, people)
		if err != nil {
			return ConversationID{}, err
		}
		for i, person := range in.UserIDs {
			if !contacts[person] {
				return ConversationID{}, &Error{Code: CodeNotInContactList, Message: textNotInContacts, Field: []string{"userIds", strconv.Itoa(i)}}
			}
		}
		if len(people)+1 > actor.Clinic.GroupSizeLimit {
			return ConversationID{}, participantLimit(actor.Clinic.Policy, "userIds")
		}
		streams, err := eventlog.NewStreams(ctx, tx.Tx, 1)
		if err != nil {
			return ConversationID{}, err
		}
		group := &ConversationView{ID: ConversationID{newID()}, Kind: Group, Stream: streams[0]}
		const insert = `INSERT INTO conversations (id, clinic_id, kind, stream, name, owner_id) VALUES ($1, $2, 'GROUP', $3, $4, $5)`
		if _, err := tx.ExecContext(ctx, insert, group.ID, actor.Clinic.ID, group.Stream, name, actor.User.ID); err != nil {
			return ConversationID{}, fmt.Errorf("create a group: %w", err)
		}
		everybody := append([]UserID{actor.User.ID}, people...)
		if err := join(ctx, tx, group.ID, everybody, 0, 0); err != nil {
			return ConversationID{}, err
		}
		_, err = tx.line(ctx, group, line{kind: GroupCreated, body: name, opens: everybody})
		return group.ID, err
	})
	if err != nil {
		return nil, err
	}
	return s.group(ctx, actor, id)
}

// RenameGroupInput names a group anew.
type RenameGroupInput struct {
	ClientKey      string
	ConversationID ConversationID
	Name           string
}

// RenameGroup gives a group another name. Every participant hears of it (E29).
func (s *Service) RenameGroup(ctx context.Context, actor Actor, in RenameGroupInput) (*GroupConversation, error) {
	name, err := validGroupName(in.Name)
	if err != nil {
		return nil, err
	}
	id, err := change(ctx, s, actor, "renameGroup", in.ClientKey, in, func(ctx context.Context, tx *transaction) (ConversationID, error) {
		group, err := enter(ctx, tx, in.ConversationID)
		if err != nil {
			return ConversationID{}, err
		}
		if err := group.may(Rename, "conversationId"); err != nil {
			return ConversationID{}, err
		}
		if name == group.Name {
			return group.ID, nil
		}
		if _, err := tx.ExecContext(ctx, `UPDATE conversations SET name = $2 WHERE id = $1`, group.ID, name); err != nil {
			return ConversationID{}, fmt.Errorf("rename the group: %w", err)
		}
		_, err = tx.line(ctx, group, line{kind: GroupRenamed, body: name})
		return group.ID, err
	})
	if err != nil {
		return nil, err
	}
	return s.group(ctx, actor, id)
}

// DeleteGroupInput names the group to delete.
type DeleteGroupInput struct {
	ClientKey      string
	ConversationID ConversationID
}

// DeleteGroup makes a group disappear for everybody, who had left it included (S56-S60, E23). Its
// content is kept as long as the clinic's retention says, where nobody sees it (E22).
func (s *Service) DeleteGroup(ctx context.Context, actor Actor, in DeleteGroupInput) (ConversationID, error) {
	return change(ctx, s, actor, "deleteGroup", in.ClientKey, in, func(ctx context.Context, tx *transaction) (ConversationID, error) {
		group, err := enter(ctx, tx, in.ConversationID)
		if err != nil {
			return ConversationID{}, err
		}
		if err := group.may(Delete, "conversationId"); err != nil {
			return ConversationID{}, err
		}
		const query = `UPDATE conversations SET deleted_at = now(), deleted_by = $2 WHERE id = $1`
		if _, err := tx.ExecContext(ctx, query, group.ID, actor.User.ID); err != nil {
			return ConversationID{}, fmt.Errorf("delete the group: %w", err)
		}
		const members = `
			SELECT user_id, users.stream, left_at IS NOT NULL AS gone
			FROM participants JOIN users ON users.id = user_id WHERE conversation_id = $1`
		var everybody []struct {
			UserID UserID `db:"user_id"`
			Stream int64
			Gone   bool
		}
		if err := tx.SelectContext(ctx, &everybody, members, group.ID); err != nil {
			return ConversationID{}, fmt.Errorf("who loses the group: %w", err)
		}
		// Members read it in the group's stream; whoever left can't, and still lists the group.
		gone := eventlog.Event{Stream: group.Stream, Kind: kindGroupDeleted, Scope: group.ID.UUID}
		var others []eventlog.Event
		for _, person := range everybody {
			if person.Gone {
				others = append(others, eventlog.Event{Stream: person.Stream, Kind: kindGroupDeleted, Scope: group.ID.UUID})
			} else {
				gone.Closes = append(gone.Closes, person.UserID.UUID)
			}
		}
		if _, err := tx.append(ctx, gone); err != nil {
			return ConversationID{}, err
		}
		_, err = tx.appendAll(ctx, others)
		return group.ID, err
	})
}

// MaxPeople is how many people one call may name.
const MaxPeople = 100

func validPeople(ids []UserID) ([]UserID, error) {
	if len(ids) == 0 || len(ids) > MaxPeople {
		return nil, invalid("userIds", "Name from 1 to %d people.", MaxPeople)
	}
	seen := make(map[UserID]bool, len(ids))
	var people []UserID
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			people = append(people, id)
		}
	}
	return people, nil
}

// contactsAmong tells who of the people is in the actor's contact list.
func contactsAmong(ctx context.Context, tx *transaction, people []UserID) (map[UserID]bool, error) {
	const query = `SELECT DISTINCT user_id FROM (` + contactsOf + ` AND theirs.user_id = ANY ($2)) AS book`
	var found []UserID
	if err := tx.SelectContext(ctx, &found, query, tx.actor.User.ID, array(people)); err != nil {
		return nil, fmt.Errorf("contacts among people: %w", err)
	}
	contacts := make(map[UserID]bool, len(found))
	for _, id := range found {
		contacts[id] = true
	}
	return contacts, nil
}

func participantLimit(policy Policy, field string) error {
	return &Error{
		Code:    CodeParticipantLimit,
		Message: fmt.Sprintf("A group has at most %d participants.", policy.GroupSizeLimit),
		Field:   []string{field},
	}
}
