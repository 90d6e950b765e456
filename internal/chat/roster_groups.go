package chat

import (
	"context"
	"fmt"
	"slices"
)

// setGroups gives the groups of owners who are gone to others (E3), also to those who are back in a group whose owner
// went before, and where the clinic wants it
// takes people out of groups in which they share no waiting room with anybody any more (E13).
func (w *rosterWrite) setGroups(ctx context.Context, tx *transaction) error {
	const owned = `
		SELECT conversations.id FROM conversations
		WHERE owner_id = ANY ($1) AND deleted_at IS NULL AND closed_at IS NULL
			AND (SELECT deactivated_at FROM users WHERE users.id = owner_id) IS NOT NULL
		UNION
		SELECT conversations.id FROM participants JOIN conversations ON conversations.id = conversation_id
		WHERE participants.user_id = ANY ($2) AND left_at IS NULL AND deleted_at IS NULL AND closed_at IS NULL
			AND (SELECT deactivated_at FROM users WHERE users.id = owner_id) IS NOT NULL
		ORDER BY id`
	var ids []ConversationID
	if err := tx.SelectContext(ctx, &ids, owned, array(w.gone), array(w.back)); err != nil {
		return err
	}
	for _, id := range ids {
		group, err := lockGroup(ctx, tx, id)
		if err != nil {
			return err
		}
		if active, err := works(ctx, tx, group.OwnerID); err != nil {
			return err
		} else if active {
			continue
		}
		// Without anybody else who is active the group keeps its owner, who may come back.
		handed, err := succeed(ctx, tx, group, nil, false)
		if err != nil {
			return err
		}
		if handed {
			w.change.GroupsHandedOver++
		}
	}
	if !w.clinic.RemoveOnRoomExit {
		return nil
	}
	const strangers = `
		SELECT mine.conversation_id AS group_id, mine.user_id
		FROM participants AS mine
		JOIN conversations ON conversations.id = mine.conversation_id AND kind = 'GROUP' AND deleted_at IS NULL AND closed_at IS NULL
		WHERE mine.user_id = ANY ($1) AND mine.left_at IS NULL AND NOT EXISTS (
			SELECT FROM participants AS others
			JOIN waiting_room_members AS there ON there.user_id = others.user_id
			JOIN waiting_room_members AS here ON here.waiting_room_id = there.waiting_room_id AND here.user_id = mine.user_id
				AND here.search IS NOT NULL AND there.search IS NOT NULL
			WHERE others.conversation_id = mine.conversation_id AND others.left_at IS NULL AND others.user_id <> mine.user_id)
		ORDER BY mine.conversation_id, mine.user_id`
	var leaving []struct {
		GroupID ConversationID `db:"group_id"`
		UserID  UserID         `db:"user_id"`
	}
	staying := slices.DeleteFunc(w.left, func(id UserID) bool { return !w.users[id].IsActive() })
	if err := tx.SelectContext(ctx, &leaving, strangers, array(staying)); err != nil {
		return err
	}
	for _, who := range leaving {
		if err := w.takeOut(ctx, tx, who.GroupID, who.UserID); err != nil {
			return err
		}
	}
	return nil
}

// works tells whether the owner of a group that was just locked is somebody who is active, or the
// group has none.
func works(ctx context.Context, tx *transaction, owner *UserID) (active bool, err error) {
	if owner == nil {
		return true, nil
	}
	err = tx.GetContext(ctx, &active, `SELECT deactivated_at IS NULL FROM users WHERE id = $1`, owner)
	return active, err
}

func (w *rosterWrite) takeOut(ctx context.Context, tx *transaction, id ConversationID, who UserID) error {
	group, err := lockGroup(ctx, tx, id)
	if err != nil {
		return err
	}
	if active, err := isActive(ctx, tx, id, who); err != nil || !active {
		return err
	}
	if group.OwnerID != nil && *group.OwnerID == who {
		handed, err := succeed(ctx, tx, group, nil, true)
		if err != nil {
			return err
		}
		if !handed {
			if err := closeGroup(ctx, tx, group); err != nil {
				return err
			}
		}
	}
	w.change.RemovedFromGroups++
	return part(ctx, tx, group, who, Removed)
}

// lockGroup takes the lock of a group on behalf of the roster.
func lockGroup(ctx context.Context, tx *transaction, id ConversationID) (*ConversationView, error) {
	const query = `SELECT id, kind, stream, name, owner_id FROM conversations WHERE id = $1 FOR NO KEY UPDATE`
	var group ConversationView
	if err := tx.GetContext(ctx, &group, query, id); err != nil {
		return nil, fmt.Errorf("lock the group: %w", err)
	}
	return &group, nil
}
