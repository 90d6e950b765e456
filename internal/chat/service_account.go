package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/mail"
	"strings"

	"corridor/internal/eventlog"
)

// ServiceAccounts returns a page of the service accounts of the actor's clinic, by name: those in use, or with those that were
// deactivated. It is for administrators.
func (s *Service) ServiceAccounts(ctx context.Context, actor Actor, page Forward, deactivated bool) (Page[User], error) {
	condition := `kind = 'SERVICE'`
	if !deactivated {
		condition += ` AND deactivated_at IS NULL`
	}
	return s.usersWho(ctx, actor, page, condition)
}

// usersWho returns a page of the users of the actor's clinic who meet a condition, by name. It is for administrators.
func (s *Service) usersWho(ctx context.Context, actor Actor, page Forward, condition string) (Page[User], error) {
	if err := administers(actor, "clinic", "clinic"); err != nil {
		return Page[User]{}, err
	}
	after, err := page.afterText(2)
	if err != nil {
		return Page[User]{}, err
	}
	query := `
		SELECT ` + userColumns + `, presence.seen_at FROM users LEFT JOIN presence ON presence.user_id = users.id
		WHERE clinic_id = $1 AND ` + condition + `
			AND ($2::text IS NULL OR (users.name COLLATE "C", users.id) > ($2 COLLATE "C", $3::uuid))
		ORDER BY users.name COLLATE "C", users.id LIMIT $4`
	var users []User
	if err := s.find(ctx, &users, query, actor.Clinic.ID, after.at(0), after.at(1), page.First+1); err != nil {
		return Page[User]{}, fmt.Errorf("users of the clinic: %w", err)
	}
	return forward(users, page), nil
}

// CreateServiceAccountInput says what a service account is called.
type CreateServiceAccountInput struct {
	ClientKey string
	Name      string
	Email     string
}

// serviceRole is what is shown beside the name of a service account.
const serviceRole = "Service account"

// CreateServiceAccount makes an account that programs act as. It is for administrators.
func (s *Service) CreateServiceAccount(ctx context.Context, actor Actor, in CreateServiceAccountInput) (*User, error) {
	if err := administers(actor, "clinic", "clientKey"); err != nil {
		return nil, err
	}
	id, err := changeIn(ctx, lane{clinic: actor.Clinic.Name}, s, actor, "createServiceAccount", in.ClientKey, in, func(ctx context.Context, tx *transaction) (UserID, error) {
		return makeServiceAccount(ctx, tx, in)
	})
	if err != nil {
		return nil, err
	}
	return s.serviceAccount(ctx, actor, id)
}

func (s *Service) serviceAccount(ctx context.Context, actor Actor, id UserID) (*User, error) {
	found, err := s.Users(ctx, actor, []UserID{id})
	account, ok := found[id]
	if err != nil || !ok || account.Kind != ServiceAccount {
		return nil, err
	}
	return &account, nil
}

// FindServiceAccount returns the service account of the actor's clinic that has an e-mail address, also if it was deactivated. It is for
// administrators.
func (s *Service) FindServiceAccount(ctx context.Context, actor Actor, email string) (*User, error) {
	if err := administers(actor, "service account", "serviceAccount"); err != nil {
		return nil, err
	}
	const query = `
		SELECT ` + userColumns + ` FROM users
		WHERE clinic_id = $1 AND email = $2 AND kind = 'SERVICE'`
	var account User
	err := s.db.GetContext(ctx, &account, query, actor.Clinic.ID, strings.ToLower(strings.TrimSpace(email)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("service account", "serviceAccount")
	}
	if err != nil {
		return nil, fmt.Errorf("find the service account: %w", err)
	}
	return &account, nil
}

// makeServiceAccount makes an account of the actor's clinic.
func makeServiceAccount(ctx context.Context, tx *transaction, in CreateServiceAccountInput) (UserID, error) {
	name, refused := clean("name", strings.TrimSpace(in.Name), MaxName, "")
	switch {
	case refused != nil:
		return UserID{}, refused
	case blank(name):
		return UserID{}, invalid("name", "A service account needs a name.")
	}
	email, refused := clean("email", strings.ToLower(strings.TrimSpace(in.Email)), MaxEmail, "")
	if refused != nil {
		return UserID{}, refused
	}
	if address, err := mail.ParseAddress(email); err != nil || address.Address != email {
		return UserID{}, invalid("email", "This is no e-mail address.")
	}
	clinic, err := lockClinic(ctx, tx.Tx, tx.actor.Clinic.Name)
	if err != nil {
		return UserID{}, err
	}
	directory, err := openDirectory(ctx, tx, clinic)
	if err != nil {
		return UserID{}, err
	}
	id := UserID{newID()}
	streams, err := eventlog.NewPrivateStreams(ctx, tx.Tx, plain([]UserID{id}))
	if err != nil {
		return UserID{}, err
	}
	const insert = `
		INSERT INTO users (id, clinic_id, email, name, role_label, kind, stream, changed_seq, entered_seq)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
		ON CONFLICT ON CONSTRAINT users_email_key DO NOTHING`
	made, err := tx.updates(ctx, insert, id, tx.actor.Clinic.ID, email, name, serviceRole, ServiceAccount, streams[0], directory.changed(id))
	if err != nil {
		return UserID{}, err
	}
	if !made {
		return UserID{}, whoHas(ctx, tx, email)
	}
	return id, directory.write(ctx, tx, nil)
}

// whoHas refuses an e-mail address that somebody of the actor's clinic has, and says who.
func whoHas(ctx context.Context, tx *transaction, email string) error {
	const query = `SELECT ` + userColumns + ` FROM users WHERE clinic_id = $1 AND email = $2`
	var user User
	if err := tx.GetContext(ctx, &user, query, tx.actor.Clinic.ID, email); err != nil {
		return fmt.Errorf("find who has the address: %w", err)
	}
	says := "This is the address of a person of the clinic: a service account needs one of its own."
	switch {
	case user.Kind == ServiceAccount && user.IsActive():
		says = "There is a service account with this e-mail address."
	case user.Kind == ServiceAccount:
		says = "A service account with this e-mail address was deactivated: reactivate it instead."
	case !user.IsActive():
		says = "This is the address of a person who was at the clinic: a service account needs one of its own."
	}
	return refuse(CodeEmailTaken, "%s", says).of("email")
}

// DeactivateServiceAccountInput says which account ends.
type DeactivateServiceAccountInput struct {
	ClientKey        string
	ServiceAccountID UserID
}

// DeactivateServiceAccount ends an account, its keys and its open streams. It is for administrators.
func (s *Service) DeactivateServiceAccount(ctx context.Context, actor Actor, in DeactivateServiceAccountInput) (*User, error) {
	return s.changeServiceAccount(ctx, actor, "deactivateServiceAccount", in.ClientKey, in, in.ServiceAccountID,
		func(ctx context.Context, tx *transaction, clinic Clinic, directory *directory, account User) ([]eventlog.Event, error) {
			const deactivate = `UPDATE users SET deactivated_at = coalesce(deactivated_at, now()) WHERE id = $1`
			if _, err := tx.ExecContext(ctx, deactivate, account.ID); err != nil {
				return nil, fmt.Errorf("deactivate the account: %w", err)
			}
			// For good: the account may come back.
			if err := revokeKeysOf(ctx, tx, account.ID); err != nil {
				return nil, err
			}
			directory.changed(account.ID)
			events, err := moveServiceAccount(ctx, tx, directory, account, nil)
			if err != nil {
				return nil, err
			}
			// Groups that it owns are handed over as those of people who are gone.
			left := rosterWrite{clinic: clinic, gone: []UserID{account.ID}}
			if err := left.setGroups(ctx, tx); err != nil {
				return nil, err
			}
			return append(events, eventlog.Event{Stream: account.Stream, Kind: kindSignedOut, Subject: account.ID.UUID}), nil
		})
}

func revokeKeysOf(ctx context.Context, tx *transaction, account UserID) error {
	const revoke = `UPDATE partner_keys SET revoked_at = now() WHERE service_account_id = $1 AND revoked_at IS NULL`
	if _, err := tx.ExecContext(ctx, revoke, account); err != nil {
		return fmt.Errorf("revoke the keys of the account: %w", err)
	}
	return nil
}

// ReactivateServiceAccountInput says which account comes back.
type ReactivateServiceAccountInput struct {
	ClientKey        string
	ServiceAccountID UserID
}

// ReactivateServiceAccount brings an account back, without keys that can be used and without waiting rooms. It is for administrators.
func (s *Service) ReactivateServiceAccount(ctx context.Context, actor Actor, in ReactivateServiceAccountInput) (*User, error) {
	return s.changeServiceAccount(ctx, actor, "reactivateServiceAccount", in.ClientKey, in, in.ServiceAccountID,
		func(ctx context.Context, tx *transaction, clinic Clinic, directory *directory, account User) ([]eventlog.Event, error) {
			if account.IsActive() {
				return nil, nil
			}
			// An instance of an earlier version may have deactivated it, which left them.
			if err := revokeKeysOf(ctx, tx, account.ID); err != nil {
				return nil, err
			}
			const reactivate = `UPDATE users SET deactivated_at = NULL, entered_seq = $2 WHERE id = $1`
			if _, err := tx.ExecContext(ctx, reactivate, account.ID, directory.changed(account.ID)); err != nil {
				return nil, fmt.Errorf("reactivate the account: %w", err)
			}
			back := rosterWrite{clinic: clinic, back: []UserID{account.ID}}
			return nil, back.setGroups(ctx, tx)
		})
}

// changeServiceAccount changes an account of the actor's clinic under the lock of the clinic. What act returns the streams hear.
func (s *Service) changeServiceAccount(ctx context.Context, actor Actor, operation, clientKey string, in any, id UserID,
	act func(ctx context.Context, tx *transaction, clinic Clinic, directory *directory, account User) ([]eventlog.Event, error),
) (*User, error) {
	if err := administers(actor, "service account", "serviceAccountId"); err != nil {
		return nil, err
	}
	id, err := changeIn(ctx, lane{clinic: actor.Clinic.Name}, s, actor, operation, clientKey, in, func(ctx context.Context, tx *transaction) (UserID, error) {
		clinic, err := lockClinic(ctx, tx.Tx, actor.Clinic.Name)
		if err != nil {
			return UserID{}, err
		}
		directory, err := openDirectory(ctx, tx, clinic)
		if err != nil {
			return UserID{}, err
		}
		const find = `SELECT ` + userColumns + ` FROM users WHERE id = $1 AND clinic_id = $2 AND kind = 'SERVICE'`
		var account User
		err = tx.GetContext(ctx, &account, find, id, clinic.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return UserID{}, notFound("service account", "serviceAccountId")
		}
		if err != nil {
			return UserID{}, fmt.Errorf("find the account: %w", err)
		}
		events, err := act(ctx, tx, clinic, directory, account)
		if err != nil {
			return UserID{}, err
		}
		return account.ID, directory.write(ctx, tx, events)
	})
	if err != nil {
		return nil, err
	}
	return s.serviceAccount(ctx, actor, id)
}

// SetServiceAccountWaitingRoomsInput says in which waiting rooms an account is to be.
type SetServiceAccountWaitingRoomsInput struct {
	ClientKey        string
	ServiceAccountID UserID
	WaitingRoomIDs   []WaitingRoomID
}

// maxServiceRooms bounds the rooms of one account.
const maxServiceRooms = 1000

// SetServiceAccountWaitingRooms puts an account into waiting rooms, and takes it out of all others: so it gets into
// contact lists. It is for administrators.
func (s *Service) SetServiceAccountWaitingRooms(ctx context.Context, actor Actor, in SetServiceAccountWaitingRoomsInput) (*User, error) {
	return s.changeServiceAccount(ctx, actor, "setServiceAccountWaitingRooms", in.ClientKey, in, in.ServiceAccountID,
		func(ctx context.Context, tx *transaction, _ Clinic, directory *directory, account User) ([]eventlog.Event, error) {
			switch {
			case !account.IsActive():
				return nil, notFound("service account", "serviceAccountId")
			case len(in.WaitingRoomIDs) > maxServiceRooms:
				return nil, invalid("waitingRoomIds", "A service account is in at most %d waiting rooms.", maxServiceRooms)
			}
			return moveServiceAccount(ctx, tx, directory, account, in.WaitingRoomIDs)
		})
}

// moveServiceAccount changes in which rooms an account is, and returns what their streams are to hear.
func moveServiceAccount(ctx context.Context, tx *transaction, directory *directory, account User, wanted []WaitingRoomID) ([]eventlog.Event, error) {
	const rooms = `
		SELECT waiting_rooms.id, stream, user_id IS NOT NULL AS is_in, coalesce(waiting_rooms.id = ANY ($3), false) AS is_wanted
		FROM waiting_rooms LEFT JOIN waiting_room_members ON waiting_room_id = waiting_rooms.id AND user_id = $2
		WHERE clinic_id = $1 AND (user_id IS NOT NULL OR waiting_rooms.id = ANY ($3) AND deactivated_at IS NULL)`
	var found []struct {
		ID       WaitingRoomID `db:"id"`
		Stream   int64         `db:"stream"`
		IsIn     bool          `db:"is_in"`
		IsWanted bool          `db:"is_wanted"`
	}
	if err := tx.SelectContext(ctx, &found, rooms, account.ClinicID, account.ID, array(wanted)); err != nil {
		return nil, fmt.Errorf("find the waiting rooms: %w", err)
	}
	missing := map[WaitingRoomID]bool{}
	for _, id := range wanted {
		missing[id] = true
	}
	var events []eventlog.Event
	var joined, left []WaitingRoomID
	for _, room := range found {
		delete(missing, room.ID)
		event := eventlog.Event{Stream: room.Stream, Scope: room.ID.UUID, Subject: account.ID.UUID}
		switch {
		case room.IsIn && !room.IsWanted:
			event.Kind, event.Closes = kindRoomLeft, plain([]UserID{account.ID})
			left, events = append(left, room.ID), append(events, event)
		case room.IsWanted && !room.IsIn:
			event.Kind, event.Opens = kindRoomJoined, plain([]UserID{account.ID})
			joined, events = append(joined, room.ID), append(events, event)
		}
	}
	if len(missing) > 0 {
		return nil, notFound("waiting room", "waitingRoomIds")
	}
	if len(events) == 0 {
		return nil, nil
	}
	seq := directory.changed(account.ID)
	const leave = `
		WITH removed AS (
			DELETE FROM waiting_room_members WHERE user_id = $1 AND waiting_room_id = ANY ($2)
			RETURNING waiting_room_id, user_id, joined_seq
		)
		INSERT INTO former_waiting_room_members (waiting_room_id, user_id, joined_seq, left_seq)
		SELECT waiting_room_id, user_id, joined_seq, $3 FROM removed`
	if _, err := tx.ExecContext(ctx, leave, account.ID, array(left), seq); err != nil {
		return nil, fmt.Errorf("leave waiting rooms: %w", err)
	}
	const join = `
		INSERT INTO waiting_room_members (waiting_room_id, user_id, search, joined_seq)
		SELECT room, $1, $3, $4 FROM unnest($2::uuid[]) AS room`
	if _, err := tx.ExecContext(ctx, join, account.ID, array(joined), searchTextOf(&account), seq); err != nil {
		return nil, fmt.Errorf("join waiting rooms: %w", err)
	}
	return events, nil
}
