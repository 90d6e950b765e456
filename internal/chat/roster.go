package chat

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"corridor/internal/eventlog"
)

// MaxRoster is how many people one roster holds.
const MaxRoster = 250_000

// maxProblems is how many bad rows are named.
const maxProblems = 1000

// RosterRow is one person of a roster.
type RosterRow struct {
	Line         int
	Email        string
	Name         string
	Role         string
	WaitingRooms []string
}

// RowProblem is what is wrong with one line of a roster.
type RowProblem struct {
	Line   int
	Reason string
}

// RosterError lists every bad row of a roster. Nothing of such a roster is applied.
type RosterError struct{ Problems []RowProblem }

func (e *RosterError) Error() string {
	var text strings.Builder
	lines := map[int]bool{}
	for _, problem := range e.Problems {
		lines[problem.Line] = true
	}
	rows := "bad rows"
	if len(lines) == 1 {
		rows = "bad row"
	}
	fmt.Fprintf(&text, "the roster has %d %s, nothing was applied:", len(lines), rows)
	for _, problem := range e.Problems {
		fmt.Fprintf(&text, "\n  line %d: %s", problem.Line, problem.Reason)
	}
	return text.String()
}

var rosterHeader = []string{"email", "name", "role", "waiting_rooms"}

// ReadRoster reads a roster from CSV with the header email,name,role,waiting_rooms; the rooms are
// separated by semicolons. Bad rows are all named at once, by a *RosterError.
func ReadRoster(from io.Reader) ([]RosterRow, error) {
	buffered := bufio.NewReader(from)
	start, err := buffered.Peek(maxHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the roster: %w", err)
	}
	if bytes.HasPrefix(start, byteOrderMark) {
		_, _ = buffered.Discard(len(byteOrderMark)) // it is there
	}
	reader := csv.NewReader(buffered)
	reader.FieldsPerRecord = -1
	header, err := reader.Read()
	if err != nil || !slices.Equal(header, rosterHeader) {
		return nil, &RosterError{[]RowProblem{{1, badHeader(start)}}}
	}
	var rows []RosterRow
	var problems []RowProblem
	lines := map[string]int{}
	for len(problems) < maxProblems {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if bad := new(csv.ParseError); errors.As(err, &bad) {
			problems = append(problems, RowProblem{bad.StartLine, bad.Err.Error()})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the roster: %w", err)
		}
		line, _ := reader.FieldPos(0)
		row, reasons := rosterRow(line, record)
		if first, twice := lines[row.Email]; twice && len(reasons) == 0 {
			reasons = append(reasons, fmt.Sprintf("the e-mail address stands in line %d already", first))
		}
		lines[row.Email] = line
		for _, reason := range reasons {
			problems = append(problems, RowProblem{line, reason})
		}
		if rows = append(rows, row); len(rows) > MaxRoster {
			problems = append(problems, RowProblem{line, fmt.Sprintf("a roster has at most %d rows", MaxRoster)})
			break
		}
	}
	if len(problems) > 0 {
		return nil, &RosterError{problems}
	}
	return rows, nil
}

// byteOrderMark is what Excel begins a CSV in UTF-8 with.
var byteOrderMark = []byte("\ufeff")

// maxHeader is how much of a file is looked at to say what it is instead of a roster.
const maxHeader = 80

// badHeader says what is wrong with the start of a file, and shows what stands there.
func badHeader(start []byte) string {
	line, _, _ := strings.Cut(string(bytes.TrimPrefix(start, byteOrderMark)), "\n")
	switch {
	case bytes.ContainsRune(start, 0):
		return "the file is no CSV in UTF-8, but UTF-16 or a workbook: save it as CSV UTF-8"
	case strings.TrimSpace(line) == "":
		return "there is no header; the first line is " + strings.Join(rosterHeader, ",")
	}
	return fmt.Sprintf("the header is not %s but %q", strings.Join(rosterHeader, ","), strings.TrimSpace(strings.ToValidUTF8(line, "")))
}

func rosterRow(line int, record []string) (row RosterRow, reasons []string) {
	if len(record) != len(rosterHeader) {
		return row, []string{fmt.Sprintf("it has %d fields instead of %d", len(record), len(rosterHeader))}
	}
	if !utf8.ValidString(strings.Join(record, "")) {
		return row, []string{"it is not in UTF-8: save the file as CSV UTF-8"}
	}
	field := func(i, limit int) string {
		text, err := clean(rosterHeader[i], strings.TrimSpace(record[i]), limit, "")
		switch {
		case err != nil:
			reasons = append(reasons, rosterHeader[i]+": "+err.Message)
		case blank(text):
			reasons = append(reasons, rosterHeader[i]+" is empty")
		}
		return text
	}
	row = RosterRow{Line: line, Email: strings.ToLower(field(0, MaxEmail)), Name: field(1, MaxName), Role: field(2, MaxGroupName)}
	if address, err := mail.ParseAddress(row.Email); row.Email != "" && (err != nil || address.Address != row.Email) {
		reasons = append(reasons, "email is not an e-mail address")
	}
	for name := range strings.SplitSeq(record[3], ";") {
		name, err := clean(rosterHeader[3], strings.TrimSpace(name), MaxGroupName, "")
		switch {
		case err != nil:
			reasons = append(reasons, rosterHeader[3]+": "+err.Message)
		case name != "" && !slices.Contains(row.WaitingRooms, name):
			row.WaitingRooms = append(row.WaitingRooms, name)
		}
	}
	return row, reasons
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
	i := rosterImport{
		ImportRosterInput: in, streams: map[WaitingRoomID]int64{}, formerly: map[UserID]UserKind{},
	}
	i.Clinic = name
	applied := s.transactWithin(ctx, 10*time.Minute, Actor{}, func(ctx context.Context, tx *transaction) error {
		if err := i.run(ctx, tx); err != nil {
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
	if applied == nil && i.change.Joined+i.change.Left > manyMoves {
		s.analyze(ctx)
	}
	return i.change, nil
}

// manyMoves are so many that what Postgres knows of the tables is not true any more.
const manyMoves = 1000

// analyze lets Postgres look at the tables that a roster fills. By itself it does so after a minute, and
// until then all instances go on with plans for the clinic as it was, which may be none.
func (s *Service) analyze(ctx context.Context) {
	const query = `ANALYZE users, waiting_rooms, waiting_room_members, former_waiting_room_members, streams, spans, events, unnumbered`
	if _, err := s.db.ExecContext(ctx, query); err != nil {
		s.logger.WarnContext(ctx, "the tables are not analyzed after an import", "error", Describe(err))
	}
}

// rosterImport is one import under way: what the clinic was, and what it is to be.
type rosterImport struct {
	ImportRosterInput
	clinic    Clinic
	directory *directory
	change    RosterChange

	users map[string]*User
	// services are the e-mail addresses of service accounts, which a roster leaves alone.
	services map[string]bool
	rooms    map[string]*rosterRoom
	streams  map[WaitingRoomID]int64
	members  map[membership]bool
	// emails and roomNames name who moves where.
	emails    map[UserID]string
	roomNames map[WaitingRoomID]string
	// formerly are the kinds of people who are of another kind now.
	formerly map[UserID]UserKind
	events   []eventlog.Event
	// left are people who went from a room; gone are those who do not work here any more.
	left, gone []UserID
}

type rosterRoom struct {
	ID       WaitingRoomID `db:"id"`
	Name     string        `db:"name"`
	Stream   int64         `db:"stream"`
	Inactive bool          `db:"inactive"`
}

type membership struct {
	Room WaitingRoomID `db:"waiting_room_id"`
	User UserID        `db:"user_id"`
}

func (m membership) compare(other membership) int {
	return cmp.Or(bytes.Compare(m.Room.UUID[:], other.Room.UUID[:]), bytes.Compare(m.User.UUID[:], other.User.UUID[:]))
}

func (i *rosterImport) run(ctx context.Context, tx *transaction) error {
	steps := []struct {
		name string
		do   func(context.Context, *transaction) error
	}{
		{"reading the clinic", i.read},
		{"waiting rooms", i.setRooms},
		{"people", i.setUsers},
		{"who is in which room", i.setMembers},
		{"groups", i.setGroups},
		{"events", i.tell},
	}
	for n, step := range steps {
		i.Progress(step.name, n, len(steps))
		if err := step.do(ctx, tx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	i.Progress("done", len(steps), len(steps))
	return nil
}

// read finds the clinic, or makes it, and keeps other imports away from it.
func (i *rosterImport) read(ctx context.Context, tx *transaction) error {
	id := newID()
	created, err := tx.updates(ctx, `INSERT INTO clinics (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, i.Clinic)
	if err != nil {
		return err
	}
	i.change.ClinicCreated = created
	if created {
		if err := i.newStream(ctx, tx, id); err != nil {
			return err
		}
	}
	if i.clinic, err = lockClinic(ctx, tx.Tx, i.Clinic); err != nil {
		return err
	}
	tx.actor.Clinic = i.clinic
	if i.directory, err = openDirectory(ctx, tx, i.clinic); err != nil {
		return err
	}
	var users []*User
	if err := tx.SelectContext(ctx, &users, `SELECT `+userColumns+` FROM users WHERE clinic_id = $1`, i.clinic.ID); err != nil {
		return err
	}
	i.users, i.services = make(map[string]*User, len(users)), map[string]bool{}
	for _, user := range users {
		if user.Kind == ServiceAccount {
			i.services[user.Email] = true
		} else {
			i.users[user.Email] = user
		}
	}
	var rooms []*rosterRoom
	const roomQuery = `SELECT id, name, stream, deactivated_at IS NOT NULL AS inactive FROM waiting_rooms WHERE clinic_id = $1`
	if err := tx.SelectContext(ctx, &rooms, roomQuery, i.clinic.ID); err != nil {
		return err
	}
	i.rooms = byKey(rooms, func(r *rosterRoom) string { return r.Name })
	var members []membership
	const memberQuery = `
		SELECT waiting_room_id, user_id FROM waiting_room_members
		JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id
		JOIN users ON users.id = user_id AND users.kind <> 'SERVICE'
		WHERE waiting_rooms.clinic_id = $1`
	if err := tx.SelectContext(ctx, &members, memberQuery, i.clinic.ID); err != nil {
		return err
	}
	i.members = make(map[membership]bool, len(members))
	for _, member := range members {
		i.members[member] = true
	}
	return i.check()
}

// newStream gives a new clinic its stream. The reader of it is the clinic itself.
func (i *rosterImport) newStream(ctx context.Context, tx *transaction, clinic uuid.UUID) error {
	streams, err := eventlog.NewPrivateStreams(ctx, tx.Tx, []uuid.UUID{clinic})
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE clinics SET stream = $2 WHERE id = $1`, clinic, streams[0])
	return err
}

// check takes a roster without most people, or that leaves them without a waiting room, for a wrong
// file. A wrong column does as much harm as missing lines, and groups that it closes stay closed.
func (i *rosterImport) check() error {
	var taken []RowProblem
	for _, row := range i.Rows {
		if i.services[row.Email] {
			taken = append(taken, RowProblem{row.Line, "the e-mail address is that of a service account"})
		}
	}
	if len(taken) > 0 {
		return &RosterError{taken[:min(len(taken), maxProblems)]}
	}
	rows := byKey(i.Rows, func(row RosterRow) string { return row.Email })
	inRoom := map[UserID]bool{}
	for at := range i.members {
		inRoom[at.User] = true
	}
	for email, user := range i.users {
		if !user.IsActive() || user.Kind == Patient {
			continue
		}
		i.change.Active++
		row, stays := rows[email]
		if !stays || kindOf(row.Role) == Patient || inRoom[user.ID] && len(row.WaitingRooms) == 0 {
			i.change.Lost++
		}
	}
	lost, active := i.change.Lost, i.change.Active
	i.change.NeedsLeave = len(i.Rows) == 0 || lost > 0 && lost == active || lost > fewLost && 2*lost > active
	if i.change.NeedsLeave && !i.AllowDeactivations && !i.DryRun {
		return &DeactivationsError{lost, active}
	}
	return nil
}

// setRooms makes the rooms that the rows name active, and no others (E40).
func (i *rosterImport) setRooms(ctx context.Context, tx *transaction) error {
	named := map[string]bool{}
	var added []*rosterRoom
	for _, row := range i.Rows {
		for _, name := range row.WaitingRooms {
			if !named[name] && i.rooms[name] == nil {
				added = append(added, &rosterRoom{ID: WaitingRoomID{newID()}, Name: name})
			}
			named[name] = true
		}
	}
	streams, err := eventlog.NewStreams(ctx, tx.Tx, len(added))
	if err != nil {
		return err
	}
	ids, names := make([]WaitingRoomID, len(added)), make([]string, len(added))
	for n, room := range added {
		room.Stream = streams[n]
		ids[n], names[n] = room.ID, room.Name
		i.rooms[room.Name] = room
		i.change.RoomsAdded = append(i.change.RoomsAdded, room.Name)
	}
	const insert = `
		INSERT INTO waiting_rooms (id, clinic_id, name, stream)
		SELECT id, $1, name, stream FROM unnest($2::uuid[], $3::text[], $4::bigint[]) AS given (id, name, stream)`
	if _, err := tx.ExecContext(ctx, insert, i.clinic.ID, array(ids), array(names), array(streams)); err != nil {
		return err
	}
	var active []string
	for name := range named {
		active = append(active, name)
	}
	for name, room := range i.rooms {
		i.streams[room.ID] = room.Stream
		if !named[name] && !room.Inactive {
			i.change.RoomsClosed = append(i.change.RoomsClosed, name)
		}
	}
	const update = `
		UPDATE waiting_rooms SET deactivated_at = CASE WHEN name = ANY ($2) THEN NULL ELSE now() END
		WHERE clinic_id = $1 AND (deactivated_at IS NULL) <> (name = ANY ($2))`
	_, err = tx.ExecContext(ctx, update, i.clinic.ID, array(active))
	return err
}

// setUsers adds people, gives them their names and roles, and deactivates who is gone.
func (i *rosterImport) setUsers(ctx context.Context, tx *transaction) error {
	var added, changed []*User
	named := make(map[string]bool, len(i.Rows))
	for _, row := range i.Rows {
		named[row.Email] = true
		user := i.users[row.Email]
		if user == nil {
			user = &User{ID: UserID{newID()}, Email: row.Email, Name: row.Name, RoleLabel: row.Role, Kind: kindOf(row.Role)}
			i.users[row.Email] = user
			added = append(added, user)
			i.change.Added = append(i.change.Added, row.Email)
			continue
		}
		again := !user.IsActive()
		if again {
			i.change.Reactivated = append(i.change.Reactivated, row.Email)
		}
		if renamed := user.Name != row.Name || user.RoleLabel != row.Role; renamed || again {
			if renamed {
				i.change.Renamed = append(i.change.Renamed, row.Email)
			}
			user.Name, user.RoleLabel, user.DeactivatedAt = row.Name, row.Role, nil
			if kind := kindOf(row.Role); kind != user.Kind {
				i.formerly[user.ID], user.Kind = user.Kind, kind
			}
			changed = append(changed, user)
			i.directory.changed(user.ID)
		}
	}
	for email, user := range i.users {
		if !named[email] && user.IsActive() {
			i.gone = append(i.gone, user.ID)
			i.directory.changed(user.ID)
			i.change.Deactivated = append(i.change.Deactivated, email)
			i.events = append(i.events, eventlog.Event{Stream: user.Stream, Kind: kindSignedOut, Subject: user.ID.UUID})
		}
	}
	slices.Sort(i.change.Deactivated)
	if err := i.insertUsers(ctx, tx, added); err != nil {
		return err
	}
	ids, names, labels, kinds := make([]UserID, len(changed)), make([]string, len(changed)), make([]string, len(changed)), make([]string, len(changed))
	seqs := make([]int64, len(changed))
	for n, user := range changed {
		ids[n], names[n], labels[n], kinds[n], seqs[n] = user.ID, user.Name, user.RoleLabel, string(user.Kind), i.directory.changed(user.ID)
	}
	const update = `
		UPDATE users SET name = given.name, role_label = given.role_label, kind = given.kind, deactivated_at = NULL,
			entered_seq = CASE
				WHEN given.kind <> 'PATIENT' AND (users.kind = 'PATIENT' OR users.deactivated_at IS NOT NULL) THEN given.seq
				ELSE users.entered_seq END
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS given (id, name, role_label, kind, seq)
		WHERE users.id = given.id`
	if _, err := tx.ExecContext(ctx, update, array(ids), array(names), array(labels), array(kinds), array(seqs)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE users SET deactivated_at = now() WHERE id = ANY ($1)`, array(i.gone)); err != nil {
		return err
	}
	return i.rename(ctx, tx, changed)
}

func (i *rosterImport) insertUsers(ctx context.Context, tx *transaction, added []*User) error {
	n := len(added)
	ids, emails, names, labels, kinds := make([]UserID, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	seqs := make([]int64, n)
	for k, user := range added {
		seqs[k] = i.directory.changed(user.ID)
		ids[k], emails[k], names[k], labels[k], kinds[k] = user.ID, user.Email, user.Name, user.RoleLabel, string(user.Kind)
	}
	streams, err := eventlog.NewPrivateStreams(ctx, tx.Tx, plain(ids))
	if err != nil {
		return err
	}
	for k, user := range added {
		user.Stream = streams[k]
	}
	const insert = `
		INSERT INTO users (id, clinic_id, email, name, role_label, kind, stream, changed_seq, entered_seq)
		SELECT id, $1, email, name, role_label, kind, stream, changed_seq, CASE kind WHEN 'PATIENT' THEN NULL ELSE changed_seq END
		FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[])
			AS given (id, email, name, role_label, kind, stream, changed_seq)`
	_, err = tx.ExecContext(ctx, insert, i.clinic.ID, array(ids), array(emails), array(names), array(labels), array(kinds), array(streams), array(seqs))
	return err
}

// rename tells the rooms of people that they are called otherwise, and lets searches know. Whose kind changed
// comes into their rooms anew.
func (i *rosterImport) rename(ctx context.Context, tx *transaction, changed []*User) error {
	byID := byKey(changed, func(u *User) UserID { return u.ID })
	for at := range i.members {
		if user := byID[at.User]; user != nil && user.Kind != Patient {
			i.hear(kindUserChanged, at)
		}
	}
	ids, texts := make([]UserID, 0, len(byID)), make([]*string, 0, len(byID))
	for id, user := range byID {
		if _, rekinded := i.formerly[id]; !rekinded {
			ids, texts = append(ids, id), append(texts, searchTextOf(user))
		}
	}
	const update = `
		UPDATE waiting_room_members SET search = given.search
		FROM unnest($1::uuid[], $2::text[]) AS given (user_id, search)
		WHERE waiting_room_members.user_id = given.user_id`
	_, err := tx.ExecContext(ctx, update, array(ids), array(texts))
	return err
}

// searchTextOf is what a search finds a person by. Patients are not found.
func searchTextOf(user *User) *string {
	if user.Kind == Patient {
		return nil
	}
	text := searchText(user.Name, user.Email)
	return &text
}

// hear lets who is in a room hear of a person.
func (i *rosterImport) hear(kind string, at membership) {
	event := eventlog.Event{Stream: i.streams[at.Room], Kind: kind, Scope: at.Room.UUID, Subject: at.User.UUID}
	switch kind {
	case kindRoomJoined:
		event.Opens = []uuid.UUID{at.User.UUID}
	case kindRoomLeft:
		event.Closes = []uuid.UUID{at.User.UUID}
	}
	i.events = append(i.events, event)
}

// setMembers puts people into their rooms and takes them out of others. Whose kind changed goes
// out of all rooms and comes in again as what they are now: patients are nobody's contacts, and
// hear of none.
func (i *rosterImport) setMembers(ctx context.Context, tx *transaction) error {
	wanted := make(map[membership]*User, len(i.members))
	for _, row := range i.Rows {
		user := i.users[row.Email]
		for _, room := range row.WaitingRooms {
			wanted[membership{i.rooms[room].ID, user.ID}] = user
		}
	}
	kinds := make(map[UserID]UserKind, len(i.users))
	i.emails, i.roomNames = make(map[UserID]string, len(i.users)), make(map[WaitingRoomID]string, len(i.rooms))
	for email, user := range i.users {
		kinds[user.ID], i.emails[user.ID] = user.Kind, email
	}
	for name, room := range i.rooms {
		i.roomNames[room.ID] = name
	}
	var out, in struct {
		rooms  []WaitingRoomID
		users  []UserID
		search []*string
		seqs   []int64
	}
	for at := range i.members {
		former, rekinded := i.formerly[at.User]
		if wanted[at] != nil && !rekinded {
			delete(wanted, at)
			continue
		}
		out.rooms, out.users = append(out.rooms, at.Room), append(out.users, at.User)
		out.seqs = append(out.seqs, i.directory.changed(at.User))
		i.change.Left++
		i.moves("leaves", at)
		i.left = append(i.left, at.User)
		if (rekinded && former != Patient) || (!rekinded && kinds[at.User] != Patient) {
			i.hear(kindRoomLeft, at)
		}
	}
	// In the order of the primary key, which an index likes.
	for _, at := range slices.SortedFunc(maps.Keys(wanted), membership.compare) {
		user := wanted[at]
		in.rooms, in.users, in.search = append(in.rooms, at.Room), append(in.users, at.User), append(in.search, searchTextOf(user))
		in.seqs = append(in.seqs, i.directory.changed(at.User))
		i.change.Joined++
		i.moves("joins", at)
		if user.Kind != Patient {
			i.hear(kindRoomJoined, at)
		}
	}
	const remove = `
		WITH removed AS (
			DELETE FROM waiting_room_members USING unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS given (room, person, seq)
			WHERE waiting_room_id = room AND user_id = person
			RETURNING waiting_room_id, user_id, joined_seq, seq AS left_seq, search
		)
		INSERT INTO former_waiting_room_members (waiting_room_id, user_id, joined_seq, left_seq)
		SELECT waiting_room_id, user_id, joined_seq, left_seq FROM removed WHERE search IS NOT NULL`
	if _, err := tx.ExecContext(ctx, remove, array(out.rooms), array(out.users), array(out.seqs)); err != nil {
		return err
	}
	const insert = `
		INSERT INTO waiting_room_members (waiting_room_id, user_id, search, joined_seq)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[])`
	_, err := tx.ExecContext(ctx, insert, array(in.rooms), array(in.users), array(in.search), array(in.seqs))
	return err
}

// moves notes a coming or going for a dry run.
func (i *rosterImport) moves(how string, at membership) {
	if i.DryRun {
		i.change.Moves = append(i.change.Moves, i.emails[at.User]+" "+how+" "+i.roomNames[at.Room])
	}
}

// setGroups gives the groups of owners who are gone to others (E3), and where the clinic wants it
// takes people out of groups in which they share no waiting room with anybody any more (E13).
func (i *rosterImport) setGroups(ctx context.Context, tx *transaction) error {
	const owned = `
		SELECT conversations.id FROM conversations JOIN users ON users.id = owner_id
		WHERE users.clinic_id = $1 AND users.deactivated_at IS NOT NULL AND deleted_at IS NULL AND closed_at IS NULL
		ORDER BY conversations.id`
	var ids []ConversationID
	if err := tx.SelectContext(ctx, &ids, owned, i.clinic.ID); err != nil {
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
			i.change.GroupsHandedOver++
		}
	}
	if !i.clinic.RemoveOnRoomExit {
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
	staying := slices.DeleteFunc(slices.Clone(i.left), func(id UserID) bool { return slices.Contains(i.gone, id) })
	if err := tx.SelectContext(ctx, &leaving, strangers, array(staying)); err != nil {
		return err
	}
	for _, who := range leaving {
		if err := i.takeOut(ctx, tx, who.GroupID, who.UserID); err != nil {
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

func (i *rosterImport) takeOut(ctx context.Context, tx *transaction, id ConversationID, who UserID) error {
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
	i.change.RemovedFromGroups++
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

// tell appends the events of the whole import: behind the groups, in the order of all locks.
func (i *rosterImport) tell(ctx context.Context, tx *transaction) error {
	return i.directory.write(ctx, tx, i.events)
}
