package chat

import "github.com/google/uuid"

// Each kind of thing has an id type of its own, so that the compiler tells them apart. All are
// UUIDs of version 7: they grow with time, which keeps indexes compact.
type (
	// ClinicID names a clinic.
	ClinicID struct{ uuid.UUID }
	// UserID names a person of a clinic, and as a contact that person in a contact list.
	UserID struct{ uuid.UUID }
	// WaitingRoomID names a waiting room.
	WaitingRoomID struct{ uuid.UUID }
	// ConversationID names a direct conversation or a group.
	ConversationID struct{ uuid.UUID }
	// ParticipantID names a person's place in a conversation.
	ParticipantID struct{ uuid.UUID }
	// MessageID names a message or a system line.
	MessageID struct{ uuid.UUID }
	// FileID names a file, from its announcement on.
	FileID struct{ uuid.UUID }
	// PartnerKeyID names a key of a partner.
	PartnerKeyID struct{ uuid.UUID }
	// RosterSyncID names a whole roster that is being sent in pieces.
	RosterSyncID struct{ uuid.UUID }
	// WebhookID names a webhook.
	WebhookID struct{ uuid.UUID }
)

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// plain takes the types off ids: for the log, which knows none.
func plain(ids []UserID) []uuid.UUID {
	out := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		out[i] = id.UUID
	}
	return out
}
