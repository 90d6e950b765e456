package transfer

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/rs/cors"
	"go.jetify.com/typeid"

	"corridor/graph/scalar"
	"corridor/internal/auth"
	"corridor/internal/budget"
	"corridor/internal/chat"
)

// DirectoryPath is below which the directory of a clinic is downloaded.
const DirectoryPath = "/directory/"

// exportTime is how long a client may take to read what was written last.
const exportTime = 30 * time.Second

// peoplePerPoint is for how many people a point of a budget is taken: about what a query for the same costs.
const peoplePerPoint = 10

// NewDirectoryHandler returns what answers below DirectoryPath: the staff of a clinic, the contacts of a person and the members of
// a waiting room, whole, as CSV or as a line of JSON for each person.
func NewDirectoryHandler(options Options) http.Handler {
	if options.ClientAddress == nil {
		options.ClientAddress = auth.ClientAddress(nil)
	}
	if options.Patience == (Patience{}) {
		options.Patience = DefaultPatience
	}
	if options.Budgets == nil {
		options.Budgets = budget.New(budget.Options{})
	}
	d := &directories{transfers{Options: options}, make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	mux := http.NewServeMux()
	mux.HandleFunc(DirectoryPath+"{file}", d.admit(func(w http.ResponseWriter, r *http.Request, actor chat.Actor) {
		d.export(w, r, actor, "staff", r.PathValue("file"), chat.StaffList{})
	}))
	mux.HandleFunc(DirectoryPath+"users/{id}/{file}", d.admit(func(w http.ResponseWriter, r *http.Request, actor chat.Actor) {
		if id, err := scalar.UnmarshalUserID(r.PathValue("id")); err == nil && id != (chat.UserID{}) {
			d.export(w, r, actor, "contacts", r.PathValue("file"), chat.StaffList{ContactsOf: id})
			return
		}
		refuseUnknownList(w)
	}))
	mux.HandleFunc(DirectoryPath+"waiting-rooms/{id}/{file}", d.admit(func(w http.ResponseWriter, r *http.Request, actor chat.Actor) {
		if id, err := scalar.UnmarshalWaitingRoomID(r.PathValue("id")); err == nil && id != (chat.WaitingRoomID{}) {
			d.export(w, r, actor, "members", r.PathValue("file"), chat.StaffList{WaitingRoomID: id})
			return
		}
		refuseUnknownList(w)
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuseUnknownList(w) })
	browser := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) { return options.AllowedOrigin(r), nil },
		AllowedMethods:             []string{http.MethodGet, http.MethodHead},
		AllowedHeaders:             []string{"Authorization"},
		ExposedHeaders:             []string{"Content-Disposition", "RateLimit", "RateLimit-Policy", "Retry-After"},
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
type directories struct {
	transfers
	// turns are those of downloads, which take their time and are paid for when they have been read: more than a few at a time would
	// pass any budget, and hold up others.
	turns chan struct{}
}

// turnTime is how long a download waits for its turn.
const turnTime = 20 * time.Second

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
	actor, err := d.signIn(r.Context(), r)
	if err == nil && !actor.May(chat.ContactsRead) {
		err = chat.ErrSignedOut
	}
	return err
}

// A row writes people down one after the other.
type row func(chat.StaffMember) error

// forms are how a list can be written down, by the ending of its name.
var forms = map[string]struct {
	mediaType string
	write     func(io.Writer) (begin func() error, write row, flush func() error)
}{
	".csv":   {"text/csv; charset=utf-8; header=present", writeCSV},
	".jsonl": {"application/jsonl; charset=utf-8", writeLines},
}

func writeCSV(to io.Writer) (begin func() error, write row, flush func() error) {
	out := csv.NewWriter(to)
	begin = func() error { return out.Write([]string{"id", "email", "name", "role", "kind", "waiting_rooms"}) }
	write = func(member chat.StaffMember) error {
		rooms := make([]string, len(member.WaitingRooms))
		for i, room := range member.WaitingRooms {
			rooms[i] = room.Name
		}
		return out.Write([]string{idOf(scalar.User, member.ID.UUID), member.Email, member.Name, member.RoleLabel, string(member.Kind), strings.Join(rooms, ";")})
	}
	return begin, write, func() error {
		out.Flush()
		return out.Error()
	}
}

func writeLines(to io.Writer) (begin func() error, write row, flush func() error) {
	type room struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	type line struct {
		ID           string        `json:"id"`
		Email        string        `json:"email"`
		Name         string        `json:"name"`
		RoleLabel    string        `json:"roleLabel"`
		Kind         chat.UserKind `json:"kind"`
		WaitingRooms []room        `json:"waitingRooms"`
	}
	out := json.NewEncoder(to)
	out.SetEscapeHTML(false)
	write = func(member chat.StaffMember) error {
		rooms := make([]room, len(member.WaitingRooms))
		for i, r := range member.WaitingRooms {
			rooms[i] = room{idOf(scalar.WaitingRoom, r.ID.UUID), r.Name}
		}
		return out.Encode(line{idOf(scalar.User, member.ID.UUID), member.Email, member.Name, member.RoleLabel, member.Kind, rooms})
	}
	nothing := func() error { return nil }
	return nothing, write, nothing
}

// idOf is an id as the API writes it.
func idOf(kind string, id [16]byte) string {
	return typeid.Must(typeid.FromUUIDBytesWithPrefix(kind, id[:])).String()
}

// errHead ends a download of which nobody wants more than the header.
var errHead = errors.New("only the header")

// export writes a list, as it is read: nothing is gathered. What breaks off is cut off, so that nobody takes it for the whole.
func (d *directories) export(w http.ResponseWriter, r *http.Request, actor chat.Actor, name, file string, list chat.StaffList) {
	form, ok := forms[strings.TrimPrefix(file, name)]
	if !ok || !strings.HasPrefix(file, name) {
		refuseUnknownList(w)
		return
	}
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-time.After(turnTime):
		w.Header().Set("Retry-After", "10")
		Refuse(w, http.StatusTooManyRequests, string(chat.CodeRateLimited), "Others are downloading lists. Try again later.")
		return
	case <-r.Context().Done():
		return
	}
	account := AccountOf(actor, d.Budgets)
	standing, ok := account.Spend(1)
	standing.Show(w.Header())
	if !ok {
		w.Header().Set("Retry-After", strconv.Itoa(standing.Wait))
		Refuse(w, http.StatusTooManyRequests, string(chat.CodeRateLimited), "This is more than what is left to ask for in this minute. Try again later.")
		return
	}
	control := http.NewResponseController(w)
	buffered := bufio.NewWriterSize(w, 64<<10)
	begin, write, flush := form.write(buffered)
	begun, people, asked := false, 0, time.Now()
	start := func() error {
		begun = true
		w.Header().Set("Content-Type", form.mediaType)
		w.Header().Set("Content-Disposition", `attachment; filename="`+file+`"`)
		w.Header().Set("Cache-Control", "private, no-store")
		return begin()
	}
	err := d.Chat.ExportStaff(r.Context(), actor, list, func(member chat.StaffMember) error {
		if people++; people%peoplePerPoint == 0 {
			account.Take(1)
		}
		if !begun {
			if err := start(); err != nil {
				return err
			}
			if r.Method == http.MethodHead {
				return errHead
			}
		}
		if time.Since(asked) > d.Patience.Sight {
			if err := d.again(r); err != nil {
				return err
			}
			asked = time.Now()
		}
		if buffered.Available() < 4<<10 {
			_ = control.SetWriteDeadline(time.Now().Add(exportTime)) // every connection has deadlines
		}
		return write(member)
	})
	if errors.Is(err, errHead) {
		return
	}
	if err == nil && !begun {
		err = start()
	}
	if err == nil {
		err = errors.Join(flush(), buffered.Flush())
	}
	switch refused := new(chat.Error); {
	case err == nil:
	case begun:
		if r.Context().Err() == nil && !isSignedOut(err) {
			d.Logger.WarnContext(r.Context(), "a download of a directory broke off", "error", chat.Describe(err))
		}
		panic(http.ErrAbortHandler)
	case errors.As(err, &refused):
		refuseUnknownList(w)
	default:
		d.fail(w, r, err)
	}
}
