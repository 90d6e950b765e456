package transfer

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rs/cors"
	"go.jetify.com/typeid"

	"corridor/graph/scalar"
	"corridor/internal/budget"
	"corridor/internal/chat"
	"corridor/internal/courtesy"
)

// DirectoryPath is below which the directory of a clinic is downloaded.
const DirectoryPath = "/directory/"

const (
	// exportTime is how long a client may take to read the next exportSize bytes or less.
	exportTime, exportSize = 30 * time.Second, 64 << 10
	// writeSize is how much it gets at a time: whoever may not read any more gets no more than that.
	writeSize = 8 << 10
)

// rowsPerPoint is for how many people or rooms a point of a budget is taken: about what a query for the same costs.
const rowsPerPoint = 10

// NewDirectoryHandler returns what answers below DirectoryPath: the staff of a clinic, its waiting rooms, the contacts of a person and the members of
// a waiting room, whole, as CSV or as a line of JSON for each person or room.
func NewDirectoryHandler(options Options) http.Handler {
	if options.Patience == (Patience{}) {
		options.Patience = DefaultPatience
	}
	if options.Budgets == nil {
		options.Budgets = budget.New(budget.Options{})
	}
	if options.Courtesy == nil {
		options.Courtesy = courtesy.New()
	}
	d := &directories{transfers{Options: options}}
	mux := http.NewServeMux()
	mux.HandleFunc(DirectoryPath+"{file}", d.admit(func(w http.ResponseWriter, r *http.Request, actor chat.Actor) {
		list := d.people("staff", actor, chat.StaffList{})
		if strings.HasPrefix(r.PathValue("file"), "waiting-rooms") {
			list = d.waitingRooms(actor)
		}
		d.export(w, r, actor, list)
	}))
	mux.HandleFunc(DirectoryPath+"users/{id}/{file}", d.admit(func(w http.ResponseWriter, r *http.Request, actor chat.Actor) {
		if id, err := scalar.UnmarshalUserID(r.PathValue("id")); err == nil && id != (chat.UserID{}) {
			d.export(w, r, actor, d.people("contacts", actor, chat.StaffList{ContactsOf: id}))
			return
		}
		refuseUnknownList(w)
	}))
	mux.HandleFunc(DirectoryPath+"waiting-rooms/{id}/{file}", d.admit(func(w http.ResponseWriter, r *http.Request, actor chat.Actor) {
		if id, err := scalar.UnmarshalWaitingRoomID(r.PathValue("id")); err == nil && id != (chat.WaitingRoomID{}) {
			d.export(w, r, actor, d.people("members", actor, chat.StaffList{WaitingRoomID: id}))
			return
		}
		refuseUnknownList(w)
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuseUnknownList(w) })
	browser := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) { return options.AllowedOrigin(r), nil },
		AllowedMethods:             []string{http.MethodGet, http.MethodHead},
		AllowedHeaders:             []string{"Authorization"},
		ExposedHeaders:             []string{changesHeader, "Content-Disposition", "RateLimit", "RateLimit-Policy", "Retry-After"},
		MaxAge:                     600,
	})
	return browser.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !options.AllowedOrigin(r) {
			Refuse(w, http.StatusForbidden, "FORBIDDEN_ORIGIN", "Pages of this origin may not use this API.")
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

// directories is what all downloads of directories share.
type directories struct{ transfers }

// beginTime is how long a download waits until it may begin. After some of these seconds it may come again that waited in vain: those that came
// at once do not come back at once.
const (
	beginTime                  = 20 * time.Second
	fewestSeconds, mostSeconds = 5, 15
)

// refuseUnknownList is the one answer for lists that there are not and for those that are not for whoever asks.
func refuseUnknownList(w http.ResponseWriter) {
	Refuse(w, http.StatusNotFound, string(chat.CodeNotFound), "There is no such list.")
}

// admit lets through who may read the directory.
func (d *directories) admit(next func(http.ResponseWriter, *http.Request, chat.Actor)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		actor, ok := d.known(w, r)
		switch {
		case !ok:
		case !actor.May(chat.ContactsRead), actor.RunsOnlyDocuments():
			refuseUnknownList(w)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			refuseMethod(w, "GET, HEAD", "Fetch the list with GET.")
		default:
			next(w, r, actor)
		}
	}
}

// again asks whether who was admitted still would be.
func (d *directories) again(r *http.Request) error {
	actor, err := d.Door.WhoAsks(r.Context(), r)
	if err == nil && !actor.May(chat.ContactsRead) {
		err = chat.ErrSignedOut
	}
	return err
}

// changesHeader has the cursor from which directory.changes goes on behind a list of people.
const changesHeader = "Changes-Cursor"

// download is a list as it can be downloaded.
type download struct {
	name    string
	columns []string
	// open returns what reads the list, with the cursor of what changes if there is one.
	open func(context.Context) (next rows, changes string, err error)
}

// rows reads the next rows of a list each time, as long as there are more.
type rows func(context.Context) (next []row, more bool, err error)

// row is what is told of at a time: as columns, and as what becomes a line of JSON.
type row interface {
	columns() []string
	line() any
}

func rowsOf[E any, R row](read func(context.Context) ([]E, bool, error), as func(E) R) rows {
	return func(ctx context.Context) ([]row, bool, error) {
		elements, more, err := read(ctx)
		next := make([]row, len(elements))
		for i, element := range elements {
			next[i] = as(element)
		}
		return next, more, err
	}
}

// people is a list of people.
func (d *directories) people(name string, actor chat.Actor, list chat.StaffList) download {
	columns := []string{"id", "email", "name", "role", "kind", "waiting_rooms"}
	return download{name, columns, func(ctx context.Context) (rows, string, error) {
		next, changes, err := d.Chat.ExportStaff(ctx, actor, list, courtesy.GiveWay)
		return rowsOf(next, func(member chat.StaffMember) personRow { return personRow(member) }), changes, err
	}}
}

type personRow chat.StaffMember

func (p personRow) columns() []string {
	rooms := make([]string, len(p.WaitingRooms))
	for i, room := range p.WaitingRooms {
		rooms[i] = room.Name
	}
	return []string{idOf(scalar.User, p.ID.UUID), p.Email, p.Name, p.RoleLabel, string(p.Kind), strings.Join(rooms, ";")}
}

func (p personRow) line() any {
	type line struct {
		ID           string        `json:"id"`
		Email        string        `json:"email"`
		Name         string        `json:"name"`
		RoleLabel    string        `json:"roleLabel"`
		Kind         chat.UserKind `json:"kind"`
		WaitingRooms []any         `json:"waitingRooms"`
	}
	rooms := make([]any, len(p.WaitingRooms))
	for i, room := range p.WaitingRooms {
		rooms[i] = roomRow(room).line()
	}
	return line{idOf(scalar.User, p.ID.UUID), p.Email, p.Name, p.RoleLabel, p.Kind, rooms}
}

// waitingRooms are the active waiting rooms of the actor's clinic.
func (d *directories) waitingRooms(actor chat.Actor) download {
	return download{"waiting-rooms", []string{"id", "name"}, func(context.Context) (rows, string, error) {
		return rowsOf(d.Chat.ExportWaitingRooms(actor), func(room chat.WaitingRoom) roomRow { return roomRow(room) }), "", nil
	}}
}

type roomRow chat.WaitingRoom

func (r roomRow) columns() []string { return []string{idOf(scalar.WaitingRoom, r.ID.UUID), r.Name} }

func (r roomRow) line() any {
	type line struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	return line{idOf(scalar.WaitingRoom, r.ID.UUID), r.Name}
}

// forms are how a list can be written down, by the ending of its name.
var forms = map[string]struct {
	mediaType string
	write     func(to io.Writer, columns []string) (begin func() error, write func(row) error, flush func() error)
}{
	".csv":   {"text/csv; charset=utf-8; header=present", writeCSV},
	".jsonl": {"application/jsonl; charset=utf-8", writeLines},
}

func writeCSV(to io.Writer, columns []string) (begin func() error, write func(row) error, flush func() error) {
	out := csv.NewWriter(to)
	begin = func() error { return out.Write(columns) }
	write = func(r row) error { return out.Write(r.columns()) }
	return begin, write, func() error {
		out.Flush()
		return out.Error()
	}
}

func writeLines(to io.Writer, _ []string) (begin func() error, write func(row) error, flush func() error) {
	out := json.NewEncoder(to)
	out.SetEscapeHTML(false)
	nothing := func() error { return nil }
	return nothing, func(r row) error { return out.Encode(r.line()) }, nothing
}

// idOf is an id as the API writes it.
func idOf(kind string, id [16]byte) string {
	return typeid.Must(typeid.FromUUIDBytesWithPrefix(kind, id[:])).String()
}

// export writes a list, as it is read: only as much is gathered as is read at a time, so that no turn waits for a client. What breaks off is cut
// off, so that nobody takes it for the whole.
func (d *directories) export(w http.ResponseWriter, r *http.Request, actor chat.Actor, list download) {
	file := r.PathValue("file")
	form, ok := forms[strings.TrimPrefix(file, list.name)]
	if !ok || !strings.HasPrefix(file, list.name) {
		refuseUnknownList(w)
		return
	}
	s := &sending{directories: d, w: w, r: r, account: AccountOf(actor, d.Budgets), asked: time.Now()}
	if !s.affords(1) {
		return
	}
	ctx, work := d.Courtesy.Begin(r.Context())
	leave, ok := work.Download(ctx, s.account.Subject(), beginTime)
	if !ok {
		refuseForNow(w, fewestSeconds+rand.N(mostSeconds-fewestSeconds), "You are downloading another list, or many others are. Try again later.")
		return
	}
	defer leave()
	if !s.affords(0) { // all was spent meanwhile
		return
	}
	s.ends(func() error {
		if err := s.stillMay(); err != nil {
			return err
		}
		next, changes, err := list.open(ctx)
		if err != nil {
			return err
		}
		begin := func() {
			w.Header().Set("Content-Type", form.mediaType)
			w.Header().Set("Content-Disposition", `attachment; filename="`+file+`"`)
			w.Header().Set("Cache-Control", "private, no-store")
			if changes != "" {
				w.Header().Set(changesHeader, d.SealCursor(&actor, changes))
			}
		}
		if r.Method == http.MethodHead {
			begin()
			return nil
		}
		var gathered bytes.Buffer
		start, write, flush := form.write(&gathered, list.columns)
		if err := start(); err != nil {
			return err
		}
		for more := true; more; {
			var read int
			if read, more, err = gather(ctx, work, next, write); err != nil {
				return err
			}
			s.account.Take(read / rowsPerPoint)
			if err := flush(); err != nil {
				return err
			}
			if err := s.send(&gathered, begin); err != nil {
				return err
			}
		}
		return nil
	}())
}

// sending is what goes to one client.
type sending struct {
	*directories
	w       http.ResponseWriter
	r       *http.Request
	account budget.Account
	// asked is when it was asked last whether they may read it.
	asked time.Time
	begun bool
}

// affords spends points, and refuses who has not got them.
func (s *sending) affords(points int) bool {
	standing, ok := s.account.Spend(points)
	standing.Show(s.w.Header())
	if !ok {
		refuseForNow(s.w, standing.Wait, "This is more than what is left to ask for in this minute. Try again later.")
	}
	return ok
}

// stillMay asks again now and then whether who was admitted still would be.
func (s *sending) stillMay() error {
	if time.Since(s.asked) <= s.Patience.Sight {
		return nil
	}
	s.asked = time.Now()
	return s.again(s.r)
}

// send sends what was gathered. The first time it begins before.
func (s *sending) send(gathered *bytes.Buffer, begin func()) error {
	if err := s.stillMay(); err != nil {
		return err
	}
	if !s.begun {
		begin()
		s.begun = true
	}
	// Every connection has deadlines.
	_ = http.NewResponseController(s.w).SetWriteDeadline(time.Now().Add(exportTime * time.Duration(1+gathered.Len()/exportSize)))
	for gathered.Len() > 0 {
		if err := s.stillMay(); err != nil {
			return err
		}
		if _, err := s.w.Write(gathered.Next(writeSize)); err != nil {
			return err
		}
	}
	return nil
}

// ends ends the answer.
func (s *sending) ends(err error) {
	switch refused := new(chat.Error); {
	case err == nil:
	case s.begun:
		if errors.Is(err, os.ErrDeadlineExceeded) || s.r.Context().Err() == nil && !errors.Is(err, chat.ErrSignedOut) {
			s.Logger.WarnContext(s.r.Context(), "a download of a directory broke off", "error", chat.Describe(err))
		}
		panic(http.ErrAbortHandler)
	case errors.Is(err, chat.ErrSignedOut):
		refuseSignedOut(s.w)
	case errors.As(err, &refused):
		refuseUnknownList(s.w)
	default:
		s.fail(s.w, s.r, err)
	}
}

// gather reads and writes the next rows within a turn.
func gather(ctx context.Context, work *courtesy.Work, next rows, write func(row) error) (read int, more bool, err error) {
	done, err := work.Piece(ctx)
	if err != nil {
		return 0, false, err
	}
	defer done()
	found, more, err := next(ctx)
	if err != nil {
		return 0, false, err
	}
	for _, row := range found {
		courtesy.Pause(ctx)
		if err := write(row); err != nil {
			return 0, false, err
		}
	}
	return len(found), more, nil
}
