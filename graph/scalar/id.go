// Package scalar says how ids and times look in GraphQL. Ids are TypeIDs (https://github.com/jetify-com/typeid),
// such as user_01h455vb4pex5vsknk084sn02q. To clients they are opaque.
package scalar

import (
	"io"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"go.jetify.com/typeid"
	"go.jetify.com/typeid/base32"

	"corridor/internal/chat"
)

// The kinds of things that have ids.
const (
	User         = "user"
	Conversation = "conversation"
	Participant  = "participant"
	Message      = "message"
	WaitingRoom  = "waiting_room"
	File         = "file"
	PartnerKey   = "key"
	RosterSync   = "roster_sync"
	Webhook      = "webhook"
)

// maxID is longer than any id.
const maxID = 64

// NodeID is the id of a thing of any kind.
type NodeID struct {
	Kind string
	ID   uuid.UUID
}

// String is the id as clients have it.
func (n NodeID) String() string { return n.Kind + "_" + base32.Encode(n.ID) }

// MarshalGQL writes the id.
func (n NodeID) MarshalGQL(w io.Writer) { write(n.Kind, n.ID).MarshalGQL(w) }

// UnmarshalGQL reads an id. What is not an id is the id of nothing: ids are opaque, so to whoever
// asks there is no difference.
func (n *NodeID) UnmarshalGQL(v any) error {
	*n = NodeID{}
	text, ok := v.(string)
	if !ok || len(text) > maxID {
		return nil
	}
	id, err := typeid.FromString(text)
	if err != nil {
		return nil
	}
	parsed, err := uuid.FromBytes(id.UUIDBytes())
	if err != nil {
		return err
	}
	*n = NodeID{Kind: id.Prefix(), ID: parsed}
	return nil
}

func write(kind string, id uuid.UUID) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		io.WriteString(w, `"`+NodeID{kind, id}.String()+`"`) //nolint:errcheck // gqlgen's writers are buffers
	})
}

func read(kind string, v any) (uuid.UUID, error) {
	var id NodeID
	if err := id.UnmarshalGQL(v); err != nil || id.Kind != kind {
		return uuid.Nil, err
	}
	return id.ID, nil
}

// MarshalUserID writes the id of a user.
func MarshalUserID(id chat.UserID) graphql.Marshaler { return write(User, id.UUID) }

// UnmarshalUserID reads the id of a user.
func UnmarshalUserID(v any) (chat.UserID, error) {
	id, err := read(User, v)
	return chat.UserID{UUID: id}, err
}

// MarshalConversationID writes the id of a conversation.
func MarshalConversationID(id chat.ConversationID) graphql.Marshaler {
	return write(Conversation, id.UUID)
}

// UnmarshalConversationID reads the id of a conversation.
func UnmarshalConversationID(v any) (chat.ConversationID, error) {
	id, err := read(Conversation, v)
	return chat.ConversationID{UUID: id}, err
}

// MarshalParticipantID writes the id of a participant.
func MarshalParticipantID(id chat.ParticipantID) graphql.Marshaler {
	return write(Participant, id.UUID)
}

// UnmarshalParticipantID reads the id of a participant.
func UnmarshalParticipantID(v any) (chat.ParticipantID, error) {
	id, err := read(Participant, v)
	return chat.ParticipantID{UUID: id}, err
}

// MarshalMessageID writes the id of a message.
func MarshalMessageID(id chat.MessageID) graphql.Marshaler { return write(Message, id.UUID) }

// UnmarshalMessageID reads the id of a message.
func UnmarshalMessageID(v any) (chat.MessageID, error) {
	id, err := read(Message, v)
	return chat.MessageID{UUID: id}, err
}

// MarshalWaitingRoomID writes the id of a waiting room.
func MarshalWaitingRoomID(id chat.WaitingRoomID) graphql.Marshaler {
	return write(WaitingRoom, id.UUID)
}

// UnmarshalWaitingRoomID reads the id of a waiting room.
func UnmarshalWaitingRoomID(v any) (chat.WaitingRoomID, error) {
	id, err := read(WaitingRoom, v)
	return chat.WaitingRoomID{UUID: id}, err
}

// MarshalFileID writes the id of a file.
func MarshalFileID(id chat.FileID) graphql.Marshaler { return write(File, id.UUID) }

// UnmarshalFileID reads the id of a file.
func UnmarshalFileID(v any) (chat.FileID, error) {
	id, err := read(File, v)
	return chat.FileID{UUID: id}, err
}

// MarshalPartnerKeyID writes the id of a partner's key.
func MarshalPartnerKeyID(id chat.PartnerKeyID) graphql.Marshaler { return write(PartnerKey, id.UUID) }

// UnmarshalPartnerKeyID reads the id of a partner's key.
func UnmarshalPartnerKeyID(v any) (chat.PartnerKeyID, error) {
	id, err := read(PartnerKey, v)
	return chat.PartnerKeyID{UUID: id}, err
}

// MarshalRosterSyncID writes the id of a roster that is being sent.
func MarshalRosterSyncID(id chat.RosterSyncID) graphql.Marshaler { return write(RosterSync, id.UUID) }

// UnmarshalRosterSyncID reads the id of a roster that is being sent.
func UnmarshalRosterSyncID(v any) (chat.RosterSyncID, error) {
	id, err := read(RosterSync, v)
	return chat.RosterSyncID{UUID: id}, err
}

// MarshalWebhookID writes the id of a webhook.
func MarshalWebhookID(id chat.WebhookID) graphql.Marshaler { return write(Webhook, id.UUID) }

// UnmarshalWebhookID reads the id of a webhook.
func UnmarshalWebhookID(v any) (chat.WebhookID, error) {
	id, err := read(Webhook, v)
	return chat.WebhookID{UUID: id}, err
}
