package chat

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxRosterRows is how many rows one mutation takes.
const MaxRosterRows = 500

// mayWriteRoster refuses whose credential is not good for the roster: to them there is none.
func mayWriteRoster(actor Actor) error {
	if !actor.May(RosterWrite) {
		return refuse(CodeNotFound, "There is no such roster.")
	}
	return nil
}

// RosterStatus is what came of one row.
type RosterStatus string

// What comes of rows. schema.graphqls says what each means.
const (
	RosterAdded       RosterStatus = "ADDED"
	RosterChanged     RosterStatus = "CHANGED"
	RosterReactivated RosterStatus = "REACTIVATED"
	RosterDeactivated RosterStatus = "DEACTIVATED"
	RosterUnchanged   RosterStatus = "UNCHANGED"
	RosterReceived    RosterStatus = "RECEIVED"
	RosterRefused     RosterStatus = "REFUSED"
)

// RosterOutcome is what came of one row.
type RosterOutcome struct {
	// Index is the place of the row, from 0.
	Index  int
	Status RosterStatus
	// UserID is the person, nil in a row that was refused or only received.
	UserID *UserID
	// Error says why the row was refused. Its field begins with the row's.
	Error *Error
}

func refusedRow(n int, err *Error) RosterOutcome {
	named := *err
	named.Field = append([]string{"rows", fmt.Sprint(n)}, err.Field...)
	return RosterOutcome{Index: n, Status: RosterRefused, Error: &named}
}

// RosterRowInput is what is to become of one person. What is nil stays as it is.
type RosterRowInput struct {
	// UserID says who it is. Without it the address does.
	UserID *UserID
	// Email is the address, with a UserID the one that they are to have.
	Email        *string
	Name         *string
	Role         *string
	WaitingRooms []string
	// Active tells whether they work at the clinic.
	Active bool
}

// SyncRosterInput is a piece of a roster.
type SyncRosterInput struct {
	ClientKey string
	Rows      []*RosterRowInput
}

// SyncRoster adds, changes, reactivates and deactivates the people of the rows, and nobody else. A row that can't be
// is refused with an outcome of its own, the others are done.
func (s *Service) SyncRoster(ctx context.Context, actor Actor, in SyncRosterInput) ([]RosterOutcome, error) {
	if err := mayWriteRoster(actor); err != nil {
		return nil, err
	}
	if err := fewRows(len(in.Rows)); err != nil {
		return nil, err
	}
	rows, wrong := make([]RosterRowInput, len(in.Rows)), make([]*Error, len(in.Rows))
	for n, row := range in.Rows {
		rows[n], wrong[n] = row.cleaned()
	}
	return changeIn(ctx, lane{clinic: actor.Clinic.Name}, s, actor, "syncRoster", in.ClientKey, in, func(ctx context.Context, tx *transaction) ([]RosterOutcome, error) {
		w, err := readScope(ctx, tx, scopeOf(rows))
		if err != nil {
			return nil, fmt.Errorf("read who is concerned: %w", err)
		}
		outcomes := w.plan(rows, wrong)
		return outcomes, w.write(ctx, tx, silently)
	})
}

func fewRows(n int) error {
	if n > MaxRosterRows {
		return invalid("rows", "Send at most %d rows at once.", MaxRosterRows)
	}
	return nil
}

// cleaned is the row with its texts as they are kept.
func (r RosterRowInput) cleaned() (RosterRowInput, *Error) {
	var err *Error
	text := func(field string, given *string, check func(field, text string) (string, *Error)) *string {
		if given == nil || err != nil {
			return nil
		}
		var clean string
		clean, err = check(field, *given)
		return &clean
	}
	r.Email = text("email", r.Email, validAddress)
	r.Name, r.Role = text("name", r.Name, validLine(MaxName)), text("role", r.Role, validLine(MaxGroupName))
	if err == nil && r.WaitingRooms != nil {
		r.WaitingRooms, err = validRooms(r.WaitingRooms)
	}
	if err == nil && r.UserID == nil && r.Email == nil {
		err = invalid("email", "Say who it is: by the e-mail address, or by the id.")
	}
	return r, err
}

// validAddress is an e-mail address as it is kept.
func validAddress(field, text string) (string, *Error) {
	address, err := clean(field, strings.ToLower(strings.TrimSpace(text)), MaxEmail, "")
	if err == nil && !isAddress(address) {
		err = invalid(field, "This is not an e-mail address.")
	}
	return address, err
}

// validLine is a line with something in it.
func validLine(limit int) func(field, text string) (string, *Error) {
	return func(field, text string) (string, *Error) {
		line, err := clean(field, strings.TrimSpace(text), limit, "")
		if err == nil && blank(line) {
			err = invalid(field, "The text is empty.")
		}
		return line, err
	}
}

// validRooms are the names of waiting rooms, each once. It is not nil.
func validRooms(names []string) ([]string, *Error) {
	rooms := []string{}
	for _, given := range names {
		name, err := validLine(MaxGroupName)("waitingRooms", given)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(rooms, name) {
			rooms = append(rooms, name)
		}
	}
	return rooms, nil
}

func scopeOf(rows []RosterRowInput) (scope rosterScope) {
	for _, row := range rows {
		if row.UserID != nil {
			scope.Users = append(scope.Users, *row.UserID)
		}
		if row.Email != nil {
			scope.Emails = append(scope.Emails, *row.Email)
		}
		scope.RoomNames = append(scope.RoomNames, row.WaitingRooms...)
	}
	return scope
}

// plan plans what the rows say, but for those that are wrong, and returns what comes of each.
func (w *rosterWrite) plan(rows []RosterRowInput, wrong []*Error) []RosterOutcome {
	outcomes, people := make([]RosterOutcome, len(rows)), make([]*rosterUser, len(rows))
	first := map[*rosterUser]int{}
	for n, row := range rows {
		err := wrong[n]
		if err == nil {
			if people[n], err = w.planRow(row, func(user *rosterUser) *Error {
				if before, twice := first[user]; twice {
					return refuse(CodeInvalid, "This person stands in row %d already.", before)
				}
				first[user] = n
				return nil
			}); err == nil {
				first[people[n]] = n
			}
		}
		if err != nil {
			outcomes[n] = refusedRow(n, err)
		}
	}
	for n, user := range people {
		if outcomes[n].Status == "" {
			outcomes[n] = RosterOutcome{Index: n, Status: w.outcome(user), UserID: &user.ID}
		}
	}
	return outcomes
}

// planRow plans what a row says, if the person it is about may be changed.
func (w *rosterWrite) planRow(row RosterRowInput, may func(*rosterUser) *Error) (*rosterUser, *Error) {
	var user *rosterUser
	switch {
	case row.UserID != nil:
		if user = w.users[*row.UserID]; user == nil {
			return nil, notFound("person", "userId")
		}
	default:
		if user = w.emails[*row.Email]; user == nil && !row.Active {
			return nil, notFound("person", "email")
		}
	}
	switch {
	case user == nil || !user.isService():
	case row.UserID != nil:
		return nil, notFound("person", "userId")
	default:
		return nil, addressTakenBy(user)
	}
	if user != nil {
		if err := may(user); err != nil {
			return nil, err
		}
	}
	if !row.Active {
		w.deactivate(user)
		return user, nil
	}
	if user == nil {
		switch {
		case row.Name == nil:
			return nil, invalid("name", "Somebody new needs a name.")
		case row.Role == nil:
			return nil, invalid("role", "Somebody new needs a role.")
		}
		user = w.add(*row.Email)
	}
	if row.UserID != nil && row.Email != nil {
		if err := w.readdress(user, *row.Email); err != nil {
			return nil, err
		}
	}
	w.employ(user, or(row.Name, user.Name), or(row.Role, user.RoleLabel))
	if row.WaitingRooms != nil {
		w.put(user, w.open(row.WaitingRooms))
	}
	return user, nil
}

// or is what was given, or else what there is.
func or(given *string, there string) string {
	if given != nil {
		return *given
	}
	return there
}

// readdress plans another e-mail address for a person.
func (w *rosterWrite) readdress(user *rosterUser, email string) *Error {
	if holder := w.emails[email]; holder != nil && holder != user {
		return addressTakenBy(holder)
	}
	user.Email, w.emails[email] = email, user
	return nil
}

// StartRosterSyncInput begins a whole roster.
type StartRosterSyncInput struct{ ClientKey string }

// StartRosterSync begins a whole roster that comes in pieces. It takes the place of another that was not finished.
func (s *Service) StartRosterSync(ctx context.Context, actor Actor, in StartRosterSyncInput) (*RosterSyncID, error) {
	if err := mayWriteRoster(actor); err != nil {
		return nil, err
	}
	return changeIn(ctx, lane{clinic: actor.Clinic.Name}, s, actor, "startRosterSync", in.ClientKey, in, func(ctx context.Context, tx *transaction) (*RosterSyncID, error) {
		if _, err := lockClinic(ctx, tx.Tx, actor.Clinic.Name); err != nil {
			return nil, err
		}
		id := RosterSyncID{newID()}
		if _, err := tx.ExecContext(ctx, `DELETE FROM roster_syncs WHERE clinic_id = $1`, actor.Clinic.ID); err != nil {
			return nil, fmt.Errorf("forget the roster that was not finished: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO roster_syncs (id, clinic_id) VALUES ($1, $2)`, id, actor.Clinic.ID); err != nil {
			return nil, fmt.Errorf("begin a roster: %w", err)
		}
		return &id, nil
	})
}

// RosterPersonInput is one person of a whole roster.
type RosterPersonInput struct {
	Email        string
	Name         string
	Role         string
	WaitingRooms []string
}

func (p RosterPersonInput) cleaned() (RosterPersonInput, *Error) {
	email, err := validAddress("email", p.Email)
	if err != nil {
		return RosterPersonInput{}, err
	}
	clean := RosterPersonInput{Email: email}
	if clean.Name, err = validLine(MaxName)("name", p.Name); err != nil {
		return clean, err
	}
	if clean.Role, err = validLine(MaxGroupName)("role", p.Role); err != nil {
		return clean, err
	}
	clean.WaitingRooms, err = validRooms(p.WaitingRooms)
	return clean, err
}

// AddRosterRowsInput is a piece of a whole roster.
type AddRosterRowsInput struct {
	ClientKey string
	SyncID    RosterSyncID
	Rows      []*RosterPersonInput
}

// AddRosterRows keeps rows of a whole roster until it is finished. A row of somebody who is in it already takes the
// place of the earlier one.
func (s *Service) AddRosterRows(ctx context.Context, actor Actor, in AddRosterRowsInput) ([]RosterOutcome, error) {
	if err := mayWriteRoster(actor); err != nil {
		return nil, err
	}
	if err := fewRows(len(in.Rows)); err != nil {
		return nil, err
	}
	return changeIn(ctx, lane{clinic: actor.Clinic.Name}, s, actor, "addRosterRows", in.ClientKey, in, func(ctx context.Context, tx *transaction) ([]RosterOutcome, error) {
		taken, err := serviceAddresses(ctx, tx, in.Rows)
		if err != nil {
			return nil, err
		}
		outcomes, staged := stage(in.Rows, taken)
		const count = `
			UPDATE roster_syncs SET given = given + $3, unreadable = unreadable OR $4 WHERE id = $1 AND clinic_id = $2
			RETURNING given`
		var given int
		err = tx.GetContext(ctx, &given, count, in.SyncID, actor.Clinic.ID, len(in.Rows), staged.unreadable)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, notFound("roster", "syncId")
		case err != nil:
			return nil, fmt.Errorf("find the roster: %w", err)
		case given > MaxRoster:
			return nil, invalid("rows", "A roster has at most %d rows.", MaxRoster)
		}
		const keep = `
			INSERT INTO roster_sync_rows (sync_id, email, name, role, waiting_rooms)
			SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::jsonb[])
			ON CONFLICT ON CONSTRAINT roster_sync_rows_pkey
				DO UPDATE SET name = excluded.name, role = excluded.role, waiting_rooms = excluded.waiting_rooms`
		if _, err := tx.ExecContext(ctx, keep, in.SyncID, array(staged.emails), array(staged.names), array(staged.roles), array(staged.rooms)); err != nil {
			return nil, fmt.Errorf("keep the rows: %w", err)
		}
		return outcomes, nil
	})
}

// stagedRows are rows to be kept, as columns. What is nil is of a row that was refused.
type stagedRows struct {
	emails              []string
	names, roles, rooms []*string
	unreadable          bool
}

// serviceAddresses are those addresses of rows that service accounts have.
func serviceAddresses(ctx context.Context, tx *transaction, rows []*RosterPersonInput) (map[string]bool, error) {
	emails := make([]string, 0, len(rows))
	for _, row := range rows {
		if clean, err := row.cleaned(); err == nil {
			emails = append(emails, clean.Email)
		}
	}
	const query = `SELECT email FROM users WHERE clinic_id = $1 AND email = ANY ($2) AND kind = 'SERVICE'`
	var found []string
	if err := tx.SelectContext(ctx, &found, query, tx.actor.Clinic.ID, array(emails)); err != nil {
		return nil, fmt.Errorf("look for service accounts: %w", err)
	}
	taken := make(map[string]bool, len(found))
	for _, email := range found {
		taken[email] = true
	}
	return taken, nil
}

func stage(rows []*RosterPersonInput, taken map[string]bool) (outcomes []RosterOutcome, staged stagedRows) {
	first := map[string]int{}
	for n, row := range rows {
		clean, err := row.cleaned()
		before, twice := first[clean.Email]
		if err == nil && twice {
			err = invalid("email", "The address stands in row %d already.", before)
		}
		if err == nil && taken[clean.Email] {
			err = addressOfService()
		}
		switch {
		case err != nil:
			outcomes = append(outcomes, refusedRow(n, err))
		default:
			outcomes = append(outcomes, RosterOutcome{Index: n, Status: RosterReceived})
		}
		if clean.Email == "" {
			staged.unreadable = true
			continue
		}
		if twice {
			continue
		}
		first[clean.Email] = n
		staged.emails = append(staged.emails, clean.Email)
		var name, role, rooms *string
		if err == nil {
			written, _ := json.Marshal(clean.WaitingRooms) // of strings
			text := string(written)
			name, role, rooms = &clean.Name, &clean.Role, &text
		}
		staged.names, staged.roles, staged.rooms = append(staged.names, name), append(staged.roles, role), append(staged.rooms, rooms)
	}
	return outcomes, staged
}

// FinishRosterSyncInput ends a whole roster.
type FinishRosterSyncInput struct {
	ClientKey string
	SyncID    RosterSyncID
	// AllowDeactivations lets it deactivate most people.
	AllowDeactivations bool
}

// RosterSummary is how much a whole roster changed.
type RosterSummary struct {
	Added, Changed, Reactivated, Deactivated, Spared int
	WaitingRoomsAdded, WaitingRoomsClosed            int
	Joined, Left                                     int
}

// FinishRosterSync makes the people and waiting rooms of the clinic what the rows said that came: who is in none is
// deactivated, if all rows could be read. Whose row was refused stays as they are.
func (s *Service) FinishRosterSync(ctx context.Context, actor Actor, in FinishRosterSyncInput) (*RosterSummary, error) {
	if err := mayWriteRoster(actor); err != nil {
		return nil, err
	}
	var change RosterChange
	whole := lane{clinic: actor.Clinic.Name, whole: true, limit: rosterTime}
	summary, err := changeIn(ctx, whole, s, actor, "finishRosterSync", in.ClientKey, in, func(ctx context.Context, tx *transaction) (*RosterSummary, error) {
		clinic, err := lockClinic(ctx, tx.Tx, actor.Clinic.Name)
		if err != nil {
			return nil, err
		}
		state, err := takeStaged(ctx, tx, clinic, in)
		if err != nil {
			return nil, err
		}
		w, err := readWhole(ctx, tx, clinic)
		if err != nil {
			return nil, fmt.Errorf("read the clinic: %w", err)
		}
		if err := w.become(state); err != nil {
			return nil, refusedState(err)
		}
		if err := w.write(ctx, tx, silently); err != nil {
			return nil, err
		}
		change = w.change
		return &RosterSummary{
			Added: len(change.Added), Changed: len(change.Renamed), Reactivated: len(change.Reactivated),
			Deactivated: len(change.Deactivated), Spared: change.Spared,
			WaitingRoomsAdded: len(change.RoomsAdded), WaitingRoomsClosed: len(change.RoomsClosed),
			Joined: change.Joined, Left: change.Left,
		}, nil
	})
	if err == nil {
		s.analyzeAfter(ctx, change)
	}
	return summary, err
}

// refusedState is what a partner hears of a roster that was taken for a wrong one.
func refusedState(err error) error {
	if wrong := new(DeactivationsError); errors.As(err, &wrong) {
		return &Error{
			Code:    CodeMassDeactivation,
			Message: fmt.Sprintf("Of %d people the roster would deactivate %d, or take them out of all waiting rooms. If that is right, allow it.", wrong.Active, wrong.Lost),
			Field:   []string{"allowDeactivations"},
		}
	}
	return err
}

// takeStaged takes the rows that came out of where they were kept.
func takeStaged(ctx context.Context, tx *transaction, clinic Clinic, in FinishRosterSyncInput) (fullState, error) {
	state := fullState{allowDeactivations: in.AllowDeactivations, spared: map[string]bool{}}
	const find = `SELECT unreadable FROM roster_syncs WHERE id = $1 AND clinic_id = $2 FOR UPDATE`
	if err := tx.GetContext(ctx, &state.spareMissing, find, in.SyncID, clinic.ID); errors.Is(err, sql.ErrNoRows) {
		return state, notFound("roster", "syncId")
	} else if err != nil {
		return state, fmt.Errorf("find the roster: %w", err)
	}
	var rows []struct {
		Email      string
		Name, Role *string
		Rooms      []byte `db:"waiting_rooms"`
	}
	// An address may be that of a service account by now.
	const query = `
		SELECT email, name, role, waiting_rooms FROM roster_sync_rows AS rows
		WHERE sync_id = $1 AND NOT EXISTS (SELECT FROM users WHERE clinic_id = $2 AND users.email = rows.email AND kind = 'SERVICE')
		ORDER BY email COLLATE "C"`
	if err := tx.SelectContext(ctx, &rows, query, in.SyncID, clinic.ID); err != nil {
		return state, fmt.Errorf("read the rows: %w", err)
	}
	for _, row := range rows {
		if row.Name == nil {
			state.spared[row.Email] = true
			continue
		}
		clean := RosterRow{Email: row.Email, Name: *row.Name, Role: *row.Role}
		if err := json.Unmarshal(row.Rooms, &clean.WaitingRooms); err != nil {
			return state, fmt.Errorf("read the rooms of a row: %w", err)
		}
		state.rows = append(state.rows, clean)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM roster_syncs WHERE id = $1`, in.SyncID); err != nil {
		return state, fmt.Errorf("forget the rows: %w", err)
	}
	return state, nil
}

// keepSyncs is how long a roster that is not finished is kept.
const keepSyncs = 24 * time.Hour

// purgeRosters forgets rosters that nobody finished.
func (s *Service) purgeRosters(ctx context.Context) error {
	const query = `DELETE FROM roster_syncs WHERE created_at < now() - $1 * interval '1 second'`
	if _, err := s.db.ExecContext(ctx, query, keepSyncs.Seconds()); err != nil {
		return fmt.Errorf("purge rosters: %w", err)
	}
	return nil
}
