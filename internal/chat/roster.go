package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"corridor/internal/eventlog"
)

// MaxRoster is how many people one roster holds.
const MaxRoster = 250_000

// RosterRow is one person of a roster.
type RosterRow struct {
	Line         int
	Email        string
	Name         string
	Role         string
	WaitingRooms []string
}

// kindOf sorts people by what the roster calls their role.
func kindOf(role string) UserKind {
	switch fold(role) {
	case "patient":
		return Patient
	case "provider", "physician", "doctor", "md", "do", "np", "pa", "nurse practitioner", "physician assistant":
		return Provider
	}
	return Staff
}

// RosterChange is what an import changes, by e-mail address.
type RosterChange struct {
	ClinicCreated bool
	Added         []string
	Renamed       []string
	Reactivated   []string
	Deactivated   []string
	RoomsAdded    []string
	RoomsClosed   []string
	// Joined and Left count comings into and goings from waiting rooms. A dry run names them in Moves.
	Joined, Left int
	Moves        []string
	// GroupsHandedOver counts groups whose owner was deactivated, RemovedFromGroups those whom the
	// clinic's policy took out of a group.
	GroupsHandedOver, RemovedFromGroups int
	// Lost counts the active people who are deactivated, lose all their waiting rooms or become
	// patients, of so many. NeedsLeave tells that they are so many that it has to be allowed.
	Lost, Active int
	NeedsLeave   bool
	// Spared counts who is active, missing, and left as they are.
	Spared int
}

// ImportRosterInput is a roster and what may be done with it.
type ImportRosterInput struct {
	// Clinic is the name of the clinic, which is made if there is none.
	Clinic string
	Rows   []RosterRow
	// DryRun takes everything back in the end.
	DryRun bool
	// AllowDeactivations lets the roster deactivate everybody, or most people, of the clinic: without
	// it that is taken for a wrong file.
	AllowDeactivations bool
	// Progress is told of each step before it begins, and in the end.
	Progress func(step string, done, total int)
}

// DeactivationsError refuses a roster without most of the clinic's people.
type DeactivationsError struct{ Lost, Active int }

func (e *DeactivationsError) Error() string {
	if e.Active == 0 {
		return "the roster has nobody in it, nothing was applied"
	}
	return fmt.Sprintf("of the %d people of the clinic the roster would deactivate %d, or take them out of all waiting rooms, nothing was applied", e.Active, e.Lost)
}

// fewLost are those that need no leave, unless nobody would be left.
const fewLost = 3

// errDryRun takes back what an import did.
var errDryRun = errors.New("dry run")

// ImportRoster makes the people and waiting rooms of a clinic what the rows say, in one
// transaction: who is not in them is deactivated. The clinic is made if there is none of that
// name. With dryRun it only tells what would change. It is for operators: it has no actor.
func (s *Service) ImportRoster(ctx context.Context, in ImportRosterInput) (RosterChange, error) {
	name, refused := clean("clinic", strings.TrimSpace(in.Clinic), MaxGroupName, "")
	if refused != nil {
		return RosterChange{}, refused
	}
	if blank(name) {
		return RosterChange{}, invalid("clinic", "A clinic needs a name.")
	}
	var change RosterChange
	applied := s.transactIn(ctx, lane{clinic: name, limit: rosterTime}, Actor{}, func(ctx context.Context, tx *transaction) (err error) {
		state := fullState{rows: in.Rows, allowDeactivations: in.AllowDeactivations || in.DryRun}
		if change, err = importRoster(ctx, tx, name, state, in); err != nil {
			return err
		}
		if in.DryRun {
			return errDryRun
		}
		return nil
	})
	if applied != nil && !errors.Is(applied, errDryRun) {
		return RosterChange{}, applied
	}
	if applied == nil {
		s.analyzeAfter(ctx, change)
	}
	return change, nil
}

// rosterTime bounds the change of a whole roster.
const rosterTime = 10 * time.Minute

func importRoster(ctx context.Context, tx *transaction, name string, state fullState, in ImportRosterInput) (RosterChange, error) {
	in.Progress("reading the clinic", 0, writeSteps+1)
	clinic, created, err := clinicNamed(ctx, tx, name)
	if err != nil {
		return RosterChange{}, err
	}
	w, err := readWhole(ctx, tx, clinic)
	if err != nil {
		return RosterChange{}, fmt.Errorf("read the clinic: %w", err)
	}
	w.change.ClinicCreated, w.noteMoves = created, in.DryRun
	if err := w.become(state); err != nil {
		return RosterChange{}, err
	}
	err = w.write(ctx, tx, in.Progress)
	return w.change, err
}

// clinicNamed locks the clinic of a name, which is made if there is none. So imports of one clinic take turns.
func clinicNamed(ctx context.Context, tx *transaction, name string) (clinic Clinic, created bool, err error) {
	id := newID()
	created, err = tx.updates(ctx, `INSERT INTO clinics (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, name)
	if err != nil {
		return Clinic{}, false, fmt.Errorf("make the clinic: %w", err)
	}
	if created {
		// The reader of its stream is the clinic itself.
		streams, err := eventlog.NewPrivateStreams(ctx, tx.Tx, []uuid.UUID{id})
		if err != nil {
			return Clinic{}, false, err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE clinics SET stream = $2 WHERE id = $1`, id, streams[0]); err != nil {
			return Clinic{}, false, fmt.Errorf("give the clinic its stream: %w", err)
		}
	}
	clinic, err = lockClinic(ctx, tx.Tx, name)
	return clinic, created, err
}

// fullState is what a whole roster says.
type fullState struct {
	rows               []RosterRow
	allowDeactivations bool
	// spared are addresses of people who stay as they are, though they are in no row. With spareMissing that is
	// everybody who is in none.
	spared       map[string]bool
	spareMissing bool
}

// spares tells whether a person stays as they are if they are in no row.
func (s fullState) spares(user *rosterUser) bool { return s.spareMissing || s.spared[user.Email] }

// become plans that the clinic is what the rows say: who is in none of them is deactivated, rooms that they do not
// name are closed (E40). Service accounts stay as they are, but for rooms that are closed.
func (w *rosterWrite) become(state fullState) error {
	rows := byKey(state.rows, func(row RosterRow) string { return row.Email })
	if err := w.checkAddresses(state.rows); err != nil {
		return err
	}
	if err := w.check(state, rows); err != nil {
		return err
	}
	named := map[WaitingRoomID]bool{}
	for _, row := range state.rows {
		user := w.emails[row.Email]
		if user == nil {
			user = w.add(row.Email)
		}
		w.employ(user, row.Name, row.Role)
		rooms := w.open(row.WaitingRooms)
		w.put(user, rooms)
		for _, room := range rooms {
			named[room] = true
		}
	}
	for _, user := range w.people {
		_, stays := rows[user.Email]
		switch {
		case stays, user.isService():
		case state.spares(user):
			if user.IsActive() {
				w.change.Spared++
			}
			for _, room := range w.wanted[user.ID] {
				named[room] = true
			}
		default:
			w.deactivate(user)
		}
	}
	for id, room := range w.rooms {
		if !named[id] {
			room.Closed = true
		}
	}
	return nil
}

// checkAddresses refuses rows with the address of a service account.
func (w *rosterWrite) checkAddresses(rows []RosterRow) error {
	var taken []RowProblem
	for _, row := range rows {
		if user := w.emails[row.Email]; user != nil && user.isService() {
			taken = append(taken, RowProblem{row.Line, "the e-mail address is that of a service account"})
		}
	}
	if len(taken) > 0 {
		return &RosterError{taken[:min(len(taken), maxProblems)]}
	}
	return nil
}

// check takes a roster without most people, or that leaves them without a waiting room, for a wrong
// file. A wrong column does as much harm as missing lines, and groups that it closes stay closed.
func (w *rosterWrite) check(state fullState, rows map[string]RosterRow) error {
	for _, user := range w.people {
		if !user.IsActive() || user.Kind == Patient || user.isService() {
			continue
		}
		w.change.Active++
		row, stays := rows[user.Email]
		if !stays && state.spares(user) {
			continue
		}
		if !stays || kindOf(row.Role) == Patient || len(w.wanted[user.ID]) > 0 && len(row.WaitingRooms) == 0 {
			w.change.Lost++
		}
	}
	lost, active := w.change.Lost, w.change.Active
	w.change.NeedsLeave = len(state.rows) == 0 || lost > 0 && lost == active || lost > fewLost && 2*lost > active
	if w.change.NeedsLeave && !state.allowDeactivations {
		return &DeactivationsError{lost, active}
	}
	return nil
}

// manyMoves are so many that what Postgres knows of the tables is not true any more.
const manyMoves = 1000

// analyzeAfter lets Postgres look at the tables that a roster fills, if it changed much. By itself it does so after a minute, and
// until then all instances go on with plans for the clinic as it was, which may be none.
func (s *Service) analyzeAfter(ctx context.Context, change RosterChange) {
	if change.Joined+change.Left <= manyMoves {
		return
	}
	const query = `ANALYZE users, waiting_rooms, waiting_room_members, former_waiting_room_members, streams, spans, events, unnumbered`
	if _, err := s.db.ExecContext(ctx, query); err != nil {
		s.logger.WarnContext(ctx, "the tables are not analyzed after an import", "error", Describe(err))
	}
}
