package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// ParticipantRole is what a participant is in a conversation.
type ParticipantRole string

// The roles: a group has exactly one owner while it lives.
const (
	Owner  ParticipantRole = "OWNER"
	Member ParticipantRole = "MEMBER"
)

// Participant is a person in a conversation.
type Participant struct {
	ID             ParticipantID   `db:"id"`
	ConversationID ConversationID  `db:"conversation_id"`
	UserID         UserID          `db:"user_id"`
	Role           ParticipantRole `db:"role"`
	JoinedAt       time.Time       `db:"joined_at"`
	// SharesWaitingRoom tells whether they share a waiting room with another participant (E13). Who
	// left does not hear of rooms any more.
	SharesWaitingRoom bool `db:"shares_waiting_room"`

	user *User // if that is known already
}

// KnownUser is the person, if they were looked up with the participant.
func (p Participant) KnownUser() *User { return p.user }

// ParticipantWindow asks for a part of who is in a conversation.
type ParticipantWindow struct {
	Forward
	// WithUsers asks for the people, WithSharing for whether they share a waiting room.
	WithUsers, WithSharing bool
}

// IsNode makes a participant a node in GraphQL.
func (Participant) IsNode() {}

// Position is the participant's place in the list, for a cursor.
func (p Participant) Position() []string { return []string{timePosition(p.JoinedAt), p.ID.String()} }

// participantsOf selects who is in the conversations that the participant $1 may see, or for
// somebody who left, who was in it when they did.
const participantsOf = `
	SELECT theirs.id, theirs.conversation_id, theirs.user_id,
		CASE WHEN theirs.user_id = CASE WHEN mine.left_at IS NULL THEN conversations.owner_id ELSE mine.left_owner_id END
			THEN 'OWNER' ELSE 'MEMBER' END AS role,
		CASE WHEN mine.left_at IS NULL THEN theirs.joined_at ELSE (
			SELECT sent_at FROM spans
			JOIN messages ON messages.conversation_id = conversations.id AND messages.seq = opened_seq
			WHERE reader = theirs.user_id AND spans.stream = conversations.stream
				AND opened_seq <= mine.left_seq AND to_seq > mine.left_seq) END AS joined_at,
		mine.left_at IS NOT NULL AS frozen
	FROM participants AS mine
	JOIN conversations ON conversations.id = mine.conversation_id AND deleted_at IS NULL
	JOIN participants AS theirs ON theirs.conversation_id = mine.conversation_id
	WHERE mine.user_id = $1 AND (mine.left_at IS NULL AND theirs.left_at IS NULL
		OR mine.left_at IS NOT NULL AND EXISTS (
			SELECT FROM spans WHERE reader = theirs.user_id AND spans.stream = conversations.stream
				AND opened_seq <= mine.left_seq AND to_seq > mine.left_seq))`

// participantsInRooms is participantsOf the conversation that is wanted, and if $3 is true, whether each shares a
// waiting room with another of them. It goes from the people to their rooms, which hold many more.
const participantsInRooms = `
	WITH seen AS MATERIALIZED (` + participantsOf + ` AND mine.conversation_id = wanted.conversation_id
	), sharing AS (
		SELECT user_id FROM (
			SELECT seen.user_id, count(*) OVER (PARTITION BY waiting_room_id) AS together
			FROM seen
			JOIN waiting_room_members AS here ON here.user_id = seen.user_id AND here.search IS NOT NULL
			JOIN waiting_rooms ON waiting_rooms.id = here.waiting_room_id AND deactivated_at IS NULL
		) AS rooms
		WHERE together > 1
	)
	SELECT id, conversation_id, user_id, role, joined_at,
		$3::boolean AND NOT frozen AND user_id IN (SELECT user_id FROM sharing) AS shares_waiting_room FROM seen`

// ParticipantPages returns a page of the participants of each of the conversations, who joined
// first coming first.
func (s *Service) ParticipantPages(ctx context.Context, actor Actor, ids []ConversationID, page ParticipantWindow) (map[ConversationID]Page[Participant], error) {
	joined, id, err := page.afterTime()
	if err != nil {
		return nil, err
	}
	const query = `
		SELECT page.* FROM unnest($2::uuid[]) AS wanted (conversation_id)
		CROSS JOIN LATERAL (
			` + participantsInRooms + `
			WHERE $4::bigint IS NULL OR (joined_at, id) > ('epoch'::timestamptz + $4 * interval '1 microsecond', $5::uuid)
			ORDER BY joined_at, id
			LIMIT $6
		) AS page
		ORDER BY conversation_id, joined_at, id`
	rows := make([]Participant, 0, min(len(ids)*(page.First+1), mostRoom))
	cursor, err := s.read(ctx, actor, page.WithCursor, &rows, query, actor.User.ID, array(ids), page.WithSharing, joined, id, page.First+1)
	if err != nil {
		return nil, fmt.Errorf("participants: %w", err)
	}
	if page.WithUsers {
		wanted := map[UserID]bool{}
		for _, row := range rows {
			wanted[row.UserID] = true
		}
		people, err := s.people(ctx, actor, wanted)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			rows[i].user = people[rows[i].UserID]
		}
	}
	grouped := runsOf(rows, func(p *Participant) ConversationID { return p.ConversationID })
	pages := make(map[ConversationID]Page[Participant], len(ids))
	for _, id := range ids {
		pages[id] = forward(grouped[id], page.Forward).from(cursor)
	}
	return pages, nil
}

// ParticipantCounts returns how many participants each of the conversations has for the actor.
func (s *Service) ParticipantCounts(ctx context.Context, actor Actor, ids []ConversationID) (map[ConversationID]int, error) {
	const query = `
		SELECT conversation_id, count(*) AS n FROM (` + participantsOf + ` AND mine.conversation_id = ANY ($2)) AS seen
		GROUP BY conversation_id`
	var rows []struct {
		ConversationID ConversationID `db:"conversation_id"`
		N              int
	}
	if err := s.find(ctx, &rows, query, actor.User.ID, array(ids)); err != nil {
		return nil, fmt.Errorf("count participants: %w", err)
	}
	counts := make(map[ConversationID]int, len(ids))
	for _, id := range ids {
		counts[id] = 0
	}
	for _, row := range rows {
		counts[row.ConversationID] = row.N
	}
	return counts, nil
}

// ParticipantsByID returns those of the participants whom the actor may see.
func (s *Service) ParticipantsByID(ctx context.Context, actor Actor, ids []ParticipantID) (map[ParticipantID]Participant, error) {
	const query = `
		SELECT found.*
		FROM unnest(ARRAY (SELECT DISTINCT conversation_id FROM participants WHERE id = ANY ($2))) AS wanted (conversation_id)
		CROSS JOIN LATERAL (` + participantsInRooms + `) AS found
		WHERE found.id = ANY ($2)`
	var rows []Participant
	if err := s.find(ctx, &rows, query, actor.User.ID, array(ids), true); err != nil {
		return nil, fmt.Errorf("participants: %w", err)
	}
	return byKey(rows, func(p Participant) ParticipantID { return p.ID }), nil
}

// CanRemove tells whether the actor may remove the participant from the conversation.
func CanRemove(conversation Conversation, p Participant) bool {
	return conversation.view().removalRefusal(p.UserID) == nil
}

func (c *ConversationView) removalRefusal(who UserID) *Error {
	if refused := c.refusal(RemoveParticipants); refused != nil {
		return refused.of("conversationId")
	}
	switch {
	case who == c.ActorID:
		return refuse(CodeUseLeaveGroup, "You cannot remove yourself. Use Leave group instead.").of("userId")
	case c.OwnerID != nil && who == *c.OwnerID:
		return refuse(CodeCannotRemoveOwner, "The group owner cannot be removed.").of("userId")
	}
	return nil
}

// join makes people participants, or participants again: what they muted stays muted, what they
// archived comes back (E32). Who joins for the first time has read up to readSeq.
func join(ctx context.Context, tx *transaction, id ConversationID, people []UserID, readSeq, readTextCount int64) error {
	const query = `
		INSERT INTO participants (id, conversation_id, user_id, read_seq, read_text_count)
		SELECT id, $2, user_id, $4, $5 FROM unnest($1::uuid[], $3::uuid[]) AS given (id, user_id)
		ON CONFLICT ON CONSTRAINT participants_once DO UPDATE SET joined_at = now(), left_at = NULL,
			left_reason = NULL, left_seq = NULL, left_text_count = NULL, left_name = NULL, left_owner_id = NULL,
			left_activity_at = NULL, archived_at = NULL`
	ids := make([]uuid.UUID, len(people))
	for i := range ids {
		ids[i] = newID()
	}
	if _, err := tx.ExecContext(ctx, query, array(ids), id, array(people), readSeq, readTextCount); err != nil {
		return fmt.Errorf("join the conversation: %w", err)
	}
	return nil
}

// AddOutcome is what became of one person who was to be added.
type AddOutcome string

// The outcomes (E30).
const (
	Added            AddOutcome = "ADDED"
	Readded          AddOutcome = "READDED"
	AlreadyIn        AddOutcome = "ALREADY_IN"
	NotInContactList AddOutcome = "NOT_IN_CONTACT_LIST"
	LimitReached     AddOutcome = "LIMIT"
)

// RevealedHistory is how much of what was said before an added person sees.
type RevealedHistory string

// The choices (E6, E7).
const (
	FromNow      RevealedHistory = "FROM_NOW"
	SinceMessage RevealedHistory = "SINCE"
	AllHistory   RevealedHistory = "ALL"
)

// AddParticipantsInput says whom to add and what they see of the past.
type AddParticipantsInput struct {
	ClientKey      string
	ConversationID ConversationID
	UserIDs        []UserID
	History        RevealedHistory
	SinceMessageID *MessageID
}

// AddedParticipant is the outcome for one person.
type AddedParticipant struct {
	UserID  UserID
	Outcome AddOutcome
}

// AddParticipants adds people of the actor's contact list to a group, each with an outcome of
// their own (S27-S34, S55, E5-E7, E30).
func (s *Service) AddParticipants(ctx context.Context, actor Actor, in AddParticipantsInput) (*GroupConversation, []AddedParticipant, error) {
	people, err := validPeople(in.UserIDs)
	if err != nil {
		return nil, nil, err
	}
	outcomes, err := change(ctx, s, actor, "addParticipants", in.ClientKey, in, func(ctx context.Context, tx *transaction) ([]AddedParticipant, error) {
		group, err := enter(ctx, tx, in.ConversationID)
		if err != nil {
			return nil, err
		}
		if err := group.may(AddParticipants, "conversationId"); err != nil {
			return nil, err
		}
		revealFrom, err := revealFrom(ctx, tx, group, in)
		if err != nil {
			return nil, err
		}
		outcomes, err := judge(ctx, tx, group, people)
		if err != nil {
			return nil, err
		}
		return outcomes, admit(ctx, tx, group, outcomes, revealFrom)
	})
	if err != nil {
		return nil, nil, err
	}
	group, err := s.group(ctx, actor, in.ConversationID)
	if err != nil {
		return nil, nil, err
	}
	return group, outcomes, nil
}

// revealFrom is the seq from which the added people see the group, 0 for from now on. Nobody can
// reveal what they do not see themselves.
func revealFrom(ctx context.Context, tx *transaction, group *ConversationView, in AddParticipantsInput) (int64, error) {
	if in.History == FromNow {
		return 0, nil
	}
	if !group.policy.HistoryChoice {
		return 0, &Error{Code: CodeHistoryChoiceForbidden, Message: "This clinic shows added people only what is said from then on.", Field: []string{"history"}}
	}
	var lowest int64
	// Spans that adjoin are one: between them nothing is hidden.
	const unbroken = `
		SELECT max(from_seq) FROM spans
		WHERE reader = $1 AND stream = $2 AND NOT EXISTS (
			SELECT FROM spans AS before
			WHERE before.reader = $1 AND before.stream = $2 AND before.to_seq = spans.from_seq - 1)`
	if err := tx.GetContext(ctx, &lowest, unbroken, tx.actor.User.ID, group.Stream); err != nil {
		return 0, fmt.Errorf("what the actor sees: %w", err)
	}
	if in.History == AllHistory {
		return lowest, nil
	}
	if in.SinceMessageID == nil {
		return 0, invalid("sinceMessageId", "Name the first message that the added people shall see.")
	}
	const query = `SELECT seq FROM messages WHERE id = $1 AND conversation_id = $2 AND seq >= $3`
	err := tx.GetContext(ctx, &lowest, query, in.SinceMessageID, group.ID, lowest)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, notFound("message", "sinceMessageId")
	}
	if err != nil {
		return 0, fmt.Errorf("find the message: %w", err)
	}
	return lowest, nil
}

// judge decides what becomes of each person.
func judge(ctx context.Context, tx *transaction, group *ConversationView, people []UserID) ([]AddedParticipant, error) {
	contacts, err := contactsAmong(ctx, tx, people)
	if err != nil {
		return nil, err
	}
	const query = `
		SELECT user_id, left_at IS NULL AS active, count(*) FILTER (WHERE left_at IS NULL) OVER () AS size
		FROM participants WHERE conversation_id = $1`
	var rows []struct {
		UserID UserID `db:"user_id"`
		Active bool
		Size   int
	}
	if err := tx.SelectContext(ctx, &rows, query, group.ID); err != nil {
		return nil, fmt.Errorf("who is in the group: %w", err)
	}
	active, size := map[UserID]bool{}, 0
	for _, row := range rows {
		active[row.UserID], size = row.Active, row.Size
	}
	outcomes := make([]AddedParticipant, len(people))
	for i, person := range people {
		isActive, known := active[person]
		outcome := Added
		switch {
		case isActive:
			outcome = AlreadyIn
		case !contacts[person]:
			outcome = NotInContactList
		case size >= group.policy.GroupSizeLimit:
			outcome = LimitReached
		case known:
			outcome = Readded
		}
		if outcome == Added || outcome == Readded {
			size++
		}
		outcomes[i] = AddedParticipant{UserID: person, Outcome: outcome}
	}
	return outcomes, nil
}

// admit lets in whom judge found worthy, each with a line in the transcript that names who added
// them (E10, E31).
func admit(ctx context.Context, tx *transaction, group *ConversationView, outcomes []AddedParticipant, revealFrom int64) error {
	var people []UserID
	var lines []line
	for _, outcome := range outcomes {
		if outcome.Outcome == Added || outcome.Outcome == Readded {
			people = append(people, outcome.UserID)
			lines = append(lines, line{
				kind: ParticipantAdded, subject: outcome.UserID, opens: []UserID{outcome.UserID}, revealFrom: revealFrom,
			})
		}
	}
	if len(people) == 0 {
		return nil
	}
	last, err := tx.lines(ctx, group, lines)
	if err != nil {
		return err
	}
	if err := join(ctx, tx, group.ID, people, last.Seq, last.TextCount); err != nil {
		return err
	}
	return recount(ctx, tx, group.ID, people)
}

// recount sets what unread counts of people start from, after a change of what they see or have
// read: as many messages as there are, less those that they may see behind their read position.
func recount(ctx context.Context, tx *transaction, id ConversationID, people []UserID) error {
	const textsUpTo = `COALESCE((SELECT text_count FROM messages WHERE conversation_id = $1 AND seq <= %s ORDER BY seq DESC LIMIT 1), 0)`
	query := `
		UPDATE participants SET read_text_count = COALESCE(left_text_count, conversations.text_count) - COALESCE((
			SELECT sum(` + fmt.Sprintf(textsUpTo, `spans.to_seq`) + `
				- ` + fmt.Sprintf(textsUpTo, `GREATEST(spans.from_seq - 1, participants.read_seq)`) + `)
			FROM spans
			WHERE reader = participants.user_id AND spans.stream = conversations.stream AND to_seq > participants.read_seq), 0)
		FROM conversations
		WHERE conversations.id = $1 AND conversation_id = $1 AND user_id = ANY ($2)`
	if _, err := tx.ExecContext(ctx, query, id, array(people)); err != nil {
		return fmt.Errorf("recount what is unread: %w", err)
	}
	return nil
}

// RemoveParticipantInput says whom to remove.
type RemoveParticipantInput struct {
	ClientKey      string
	ConversationID ConversationID
	UserID         UserID
}

// RemoveParticipant removes somebody else from a group: they hear nothing behind that (S35-S38,
// E4, E8, E9).
func (s *Service) RemoveParticipant(ctx context.Context, actor Actor, in RemoveParticipantInput) (*GroupConversation, error) {
	id, err := change(ctx, s, actor, "removeParticipant", in.ClientKey, in, func(ctx context.Context, tx *transaction) (ConversationID, error) {
		group, err := enter(ctx, tx, in.ConversationID)
		if err != nil {
			return ConversationID{}, err
		}
		if refused := group.removalRefusal(in.UserID); refused != nil {
			return ConversationID{}, refused
		}
		if active, err := isActive(ctx, tx, group.ID, in.UserID); err != nil {
			return ConversationID{}, err
		} else if !active {
			return ConversationID{}, notInGroup("userId")
		}
		return group.ID, part(ctx, tx, group, in.UserID, Removed)
	})
	if err != nil {
		return nil, err
	}
	return s.group(ctx, actor, id)
}

func notInGroup(field string) error {
	return &Error{Code: CodeNotAParticipant, Message: "This person is not in the group.", Field: []string{field}}
}

// isActive tells whether a person takes part now.
func isActive(ctx context.Context, tx *transaction, id ConversationID, who UserID) (bool, error) {
	const query = `
		SELECT EXISTS (SELECT FROM participants WHERE conversation_id = $1 AND user_id = $2 AND left_at IS NULL)`
	var active bool
	if err := tx.GetContext(ctx, &active, query, id, who); err != nil {
		return false, fmt.Errorf("is the person in the group: %w", err)
	}
	return active, nil
}

// part ends a person's membership with a line that is the last one they see. What they list is
// what the group was then.
func part(ctx context.Context, tx *transaction, group *ConversationView, who UserID, why MembershipState) error {
	kind := ParticipantRemoved
	if why == Left {
		kind = ParticipantLeft
	}
	last, err := tx.line(ctx, group, line{kind: kind, subject: who, closes: []UserID{who}})
	if err != nil {
		return err
	}
	const query = `
		UPDATE participants SET left_at = now(), left_reason = $3, left_seq = $4, left_text_count = $5,
			left_name = conversations.name, left_owner_id = conversations.owner_id, left_activity_at = now()
		FROM conversations
		WHERE conversations.id = $1 AND conversation_id = $1 AND user_id = $2`
	if _, err := tx.ExecContext(ctx, query, group.ID, who, why, last.Seq, last.TextCount); err != nil {
		return fmt.Errorf("leave the group: %w", err)
	}
	return nil
}

// LeaveGroupInput says which group to leave, and who shall own it if the actor did.
type LeaveGroupInput struct {
	ClientKey      string
	ConversationID ConversationID
	SuccessorID    *UserID
}

// LeaveGroup ends the actor's membership. An owner hands the group to the successor, or to who
// has been in it longest; when the last one goes the group is closed (S49-S54, E2).
func (s *Service) LeaveGroup(ctx context.Context, actor Actor, in LeaveGroupInput) (*GroupConversation, error) {
	id, err := change(ctx, s, actor, "leaveGroup", in.ClientKey, in, func(ctx context.Context, tx *transaction) (ConversationID, error) {
		group, err := enter(ctx, tx, in.ConversationID)
		if err != nil {
			return ConversationID{}, err
		}
		if err := group.may(Leave, "conversationId"); err != nil {
			return ConversationID{}, err
		}
		if in.SuccessorID != nil && !group.owned() {
			return ConversationID{}, &Error{Code: CodeNotGroupOwner, Message: "Only the group owner can name a successor.", Field: []string{"successorId"}}
		}
		if group.owned() {
			handed, err := succeed(ctx, tx, group, in.SuccessorID, true)
			switch {
			case err == nil && !handed && in.SuccessorID != nil:
				err = notInGroup("successorId")
			case err == nil && !handed:
				err = closeGroup(ctx, tx, group)
			}
			if err != nil {
				return ConversationID{}, err
			}
		}
		return group.ID, part(ctx, tx, group, actor.User.ID, Left)
	})
	if err != nil {
		return nil, err
	}
	return s.group(ctx, actor, id)
}

// succeed gives the group of an owner who goes to the successor they named, else to who has been
// in it longest. It reports whether there was anybody. With anybody somebody will do whose account
// ended, as the last resort: they may come back, and if not the next import finds another.
func succeed(ctx context.Context, tx *transaction, group *ConversationView, named *UserID, anybody bool) (handed bool, err error) {
	const query = `
		SELECT user_id FROM participants JOIN users ON users.id = user_id
		WHERE conversation_id = $1 AND left_at IS NULL AND (deactivated_at IS NULL OR $4) AND user_id <> $2
			AND ($3::uuid IS NULL OR user_id = $3)
		ORDER BY deactivated_at IS NOT NULL, joined_at, participants.id
		LIMIT 1`
	var successor UserID
	err = tx.GetContext(ctx, &successor, query, group.ID, group.OwnerID, named, anybody && named == nil)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("find a successor: %w", err)
	}
	return true, own(ctx, tx, group, successor)
}

// closeGroup ends a group that nobody is left to own: who had left can go on reading it.
func closeGroup(ctx context.Context, tx *transaction, group *ConversationView) error {
	const query = `UPDATE conversations SET closed_at = now(), owner_id = NULL WHERE id = $1`
	if _, err := tx.ExecContext(ctx, query, group.ID); err != nil {
		return fmt.Errorf("close the group: %w", err)
	}
	return nil
}

// own makes a participant the owner, with a line that says so.
func own(ctx context.Context, tx *transaction, group *ConversationView, who UserID) error {
	if _, err := tx.ExecContext(ctx, `UPDATE conversations SET owner_id = $2 WHERE id = $1`, group.ID, who); err != nil {
		return fmt.Errorf("hand over the group: %w", err)
	}
	_, err := tx.line(ctx, group, line{kind: OwnerChanged, subject: who})
	return err
}

// TransferOwnershipInput says who shall own the group.
type TransferOwnershipInput struct {
	ClientKey      string
	ConversationID ConversationID
	UserID         UserID
}

// TransferOwnership hands a group to another participant. The former owner stays in it.
func (s *Service) TransferOwnership(ctx context.Context, actor Actor, in TransferOwnershipInput) (*GroupConversation, error) {
	id, err := change(ctx, s, actor, "transferOwnership", in.ClientKey, in, func(ctx context.Context, tx *transaction) (ConversationID, error) {
		group, err := enter(ctx, tx, in.ConversationID)
		if err != nil {
			return ConversationID{}, err
		}
		if err := group.may(TransferOwnership, "conversationId"); err != nil {
			return ConversationID{}, err
		}
		if in.UserID == actor.User.ID {
			return group.ID, nil
		}
		handed, err := succeed(ctx, tx, group, &in.UserID, false)
		if err == nil && !handed {
			err = notInGroup("userId")
		}
		return group.ID, err
	})
	if err != nil {
		return nil, err
	}
	return s.group(ctx, actor, id)
}
