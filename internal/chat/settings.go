package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// maxMute is how far ahead the end of a mute may lie.
const maxMute = 366 * 24 * time.Hour

// MuteConversationInput says what to mute and until when, for good without an end.
type MuteConversationInput struct {
	ClientKey      string
	ConversationID ConversationID
	Until          *time.Time
}

// MuteConversation silences a conversation for the actor (S40-S45, E18).
func (s *Service) MuteConversation(ctx context.Context, actor Actor, in MuteConversationInput) (Conversation, error) {
	// A repeated call must find its key although its end has passed, so the end is judged inside.
	return s.set(ctx, actor, "muteConversation", in.ClientKey, in, in.ConversationID, func(ctx context.Context, tx *transaction) (bool, error) {
		if in.Until != nil && (time.Until(*in.Until) <= 0 || time.Until(*in.Until) > maxMute) {
			return false, invalid("until", "The end of a mute lies ahead, within a year.")
		}
		const query = `
			UPDATE participants SET muted_at = now(), muted_until = $3
			WHERE conversation_id = $1 AND user_id = $2 AND NOT (` + isMuted + ` AND muted_until IS NOT DISTINCT FROM $3)`
		return tx.updates(ctx, query, in.ConversationID, actor.User.ID, in.Until)
	})
}

// UnmuteConversationInput says what to unmute.
type UnmuteConversationInput struct {
	ClientKey      string
	ConversationID ConversationID
}

// UnmuteConversation lets a conversation be heard again by the actor.
func (s *Service) UnmuteConversation(ctx context.Context, actor Actor, in UnmuteConversationInput) (Conversation, error) {
	return s.set(ctx, actor, "unmuteConversation", in.ClientKey, in, in.ConversationID, func(ctx context.Context, tx *transaction) (bool, error) {
		const query = `
			UPDATE participants SET muted_at = NULL, muted_until = NULL
			WHERE conversation_id = $1 AND user_id = $2 AND muted_at IS NOT NULL`
		return tx.updates(ctx, query, in.ConversationID, actor.User.ID)
	})
}

// ArchiveConversationInput says what to archive.
type ArchiveConversationInput struct {
	ClientKey      string
	ConversationID ConversationID
}

// ArchiveConversation takes a conversation out of the actor's list. Nobody else hears of it, and
// nothing of it counts as read (S46, S47, E16).
func (s *Service) ArchiveConversation(ctx context.Context, actor Actor, in ArchiveConversationInput) (Conversation, error) {
	return s.set(ctx, actor, "archiveConversation", in.ClientKey, in, in.ConversationID, func(ctx context.Context, tx *transaction) (bool, error) {
		return setArchived(ctx, tx, in.ConversationID, true)
	})
}

// UnarchiveConversationInput says what to take back into the list.
type UnarchiveConversationInput struct {
	ClientKey      string
	ConversationID ConversationID
}

// UnarchiveConversation takes a conversation back into the actor's list (S48).
func (s *Service) UnarchiveConversation(ctx context.Context, actor Actor, in UnarchiveConversationInput) (Conversation, error) {
	return s.set(ctx, actor, "unarchiveConversation", in.ClientKey, in, in.ConversationID, func(ctx context.Context, tx *transaction) (bool, error) {
		return setArchived(ctx, tx, in.ConversationID, false)
	})
}

func setArchived(ctx context.Context, tx *transaction, id ConversationID, archived bool) (bool, error) {
	const query = `
		UPDATE participants SET archived_at = CASE WHEN $3 THEN now() END
		WHERE conversation_id = $1 AND user_id = $2 AND (archived_at IS NOT NULL) <> $3`
	return tx.updates(ctx, query, id, tx.actor.User.ID, archived)
}

// set changes a setting of the actor's own. Their other devices hear of it if it changed anything
// (E33). It needs no lock of the conversation: the row is the actor's.
func (s *Service) set(ctx context.Context, actor Actor, operation, key string, input any, id ConversationID,
	update func(ctx context.Context, tx *transaction) (bool, error),
) (Conversation, error) {
	_, err := change(ctx, s, actor, operation, key, input, func(ctx context.Context, tx *transaction) (ConversationID, error) {
		if err := mustSee(ctx, tx, id); err != nil {
			return id, err
		}
		changed, err := update(ctx, tx)
		if err != nil || !changed {
			return id, err
		}
		return id, tx.tell(ctx, kindSettings, id)
	})
	if err != nil {
		return nil, err
	}
	return s.conversation(ctx, actor, id)
}

// mustSee refuses conversations that the actor may not see, as enter does but without its lock.
func mustSee(ctx context.Context, tx *transaction, id ConversationID) error {
	const query = `
		SELECT deleted_at IS NOT NULL FROM participants JOIN conversations ON conversations.id = conversation_id
		WHERE conversation_id = $1 AND user_id = $2`
	var deleted bool
	err := tx.GetContext(ctx, &deleted, query, id, tx.actor.User.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound("conversation", "conversationId")
	}
	if err != nil {
		return fmt.Errorf("find the conversation: %w", err)
	}
	if deleted {
		return &Error{Code: CodeConversationDeleted, Message: textGroupDeleted, Field: []string{"conversationId"}}
	}
	return nil
}

// updates runs a statement and tells whether it changed a row.
func (tx *transaction) updates(ctx context.Context, query string, arguments ...any) (bool, error) {
	result, err := tx.ExecContext(ctx, query, arguments...)
	if err != nil {
		return false, fmt.Errorf("change a setting: %w", err)
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// MarkReadInput says up to which message the actor has read.
type MarkReadInput struct {
	ClientKey string
	MessageID MessageID
}

// MarkRead moves the actor's read position to a message. It never moves back.
func (s *Service) MarkRead(ctx context.Context, actor Actor, in MarkReadInput) (Conversation, error) {
	id, err := change(ctx, s, actor, "markRead", in.ClientKey, in, func(ctx context.Context, tx *transaction) (ConversationID, error) {
		const query = `SELECT ` + messageColumns + ` FROM messages` + mayRead + ` AND messages.id = $2`
		var message Message
		err := tx.GetContext(ctx, &message, query, actor.User.ID, in.MessageID)
		if errors.Is(err, sql.ErrNoRows) {
			return ConversationID{}, notFound("message", "messageId")
		}
		if err != nil {
			return ConversationID{}, fmt.Errorf("find the message: %w", err)
		}
		const read = `UPDATE participants SET read_seq = $3 WHERE conversation_id = $1 AND user_id = $2 AND read_seq < $3`
		moved, err := tx.updates(ctx, read, message.ConversationID, actor.User.ID, message.Seq)
		if err != nil || !moved {
			return message.ConversationID, err
		}
		if err := recount(ctx, tx, message.ConversationID, []UserID{actor.User.ID}); err != nil {
			return ConversationID{}, err
		}
		return message.ConversationID, tx.tell(ctx, kindSettings, message.ConversationID)
	})
	if err != nil {
		return nil, err
	}
	return s.conversation(ctx, actor, id)
}
