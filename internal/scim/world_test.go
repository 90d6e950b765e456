package scim

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"corridor/internal/budget"
	"corridor/internal/chat"
	"corridor/internal/eventlog"
	"corridor/internal/pgtest"
)

// world is a server with clinics, and a key of each.
type world struct {
	t       *testing.T
	chat    *chat.Service
	handler http.Handler
	logged  *strings.Builder
	broken  error // of whoever signs in
}

// noon is a minute that does not end.
func noon() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }

// keyBudget is what a key may spend in a minute.
const keyBudget = 2000

// host is where the server is.
const host = "https://clinic.example"

// directory is a partner's directory that keeps the roster of a clinic.
type directory struct {
	*world
	key string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	database := pgtest.New(t)
	db := database.Open()
	w := &world{t: t, logged: &strings.Builder{}}
	logger := slog.New(slog.NewTextHandler(w.logged, nil))
	log := eventlog.New(db, eventlog.ByPostgres(db, database.URL), []byte("key"), logger)
	w.chat = chat.New(db, log, logger)
	handler, err := NewHandler(Options{
		Chat: w.chat, Logger: logger, Budgets: budget.New(budget.Options{Key: keyBudget, Now: noon}), AllowedOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" },
		Authenticate: func(ctx context.Context, r *http.Request) (chat.Actor, error) {
			if w.broken != nil {
				return chat.Actor{}, w.broken
			}
			return w.chat.SignedInByKey(ctx, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), netip.MustParseAddr("192.0.2.1"))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.handler = handler
	return w
}

// clinic makes a clinic with Ann and Bob at the desk, and a key for it.
func (w *world) clinic(name string, scopes ...chat.Scope) *directory {
	w.t.Helper()
	ctx := context.Background()
	rows := []chat.RosterRow{
		{Email: "ann@x.example", Name: "Ann Lee", Role: "MA", WaitingRooms: []string{"Desk"}},
		{Email: "bob@x.example", Name: "Bob Roy", Role: "CSR", WaitingRooms: []string{"Desk"}},
	}
	if _, err := w.chat.ImportRoster(ctx, chat.ImportRosterInput{Clinic: name, Rows: rows, Progress: func(string, int, int) {}}); err != nil {
		w.t.Fatal(err)
	}
	operator, err := w.chat.Operator(ctx, name)
	if err != nil {
		w.t.Fatal(err)
	}
	account, err := w.chat.CreateServiceAccount(ctx, operator, chat.CreateServiceAccountInput{Name: "Directory", Email: "directory@partner.example"})
	if err != nil {
		w.t.Fatal(err)
	}
	return &directory{w, w.keyFor(operator, account.ID, scopes...)}
}

// boundKeyFor makes a key that runs registered documents only.
func (w *world) boundKeyFor(clinic string) *directory {
	w.t.Helper()
	ctx := context.Background()
	operator, err := w.chat.Operator(ctx, clinic)
	if err != nil {
		w.t.Fatal(err)
	}
	account, err := w.chat.FindServiceAccount(ctx, operator, "directory@partner.example")
	if err != nil {
		w.t.Fatal(err)
	}
	_, key, err := w.chat.CreatePartnerKey(ctx, operator, chat.CreatePartnerKeyInput{
		ServiceAccountID: account.ID, Name: "bound", Scopes: []chat.Scope{chat.RosterWrite}, DocumentsOnly: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return &directory{w, key}
}

func (w *world) keyFor(operator chat.Actor, account chat.UserID, scopes ...chat.Scope) string {
	w.t.Helper()
	if len(scopes) == 0 {
		scopes = []chat.Scope{chat.RosterWrite}
	}
	_, key, err := w.chat.CreatePartnerKey(context.Background(), operator, chat.CreatePartnerKeyInput{ServiceAccountID: account, Name: "key", Scopes: scopes})
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// reply is what a directory got.
type reply struct {
	status int
	header http.Header
	text   string
	body   any
	// statements is what it took.
	statements int
}

// at is the value at a path, as in Resources.0.userName, in words.
func (r reply) at(path string) string {
	value := r.body
	for part := range strings.SplitSeq(path, "/") {
		switch in := value.(type) {
		case map[string]any:
			value = in[part]
		case []any:
			n, err := strconv.Atoi(part)
			if err != nil || n >= len(in) {
				return "nothing"
			}
			value = in[n]
		default:
			return "nothing"
		}
	}
	if value == nil {
		return "nothing"
	}
	if list, ok := value.([]any); ok {
		return fmt.Sprintf("%d of them", len(list))
	}
	return fmt.Sprint(value)
}

// sends sends a request; what of the path stands behind the ? is escaped.
func (d *directory) sends(method, path, body string) reply {
	d.t.Helper()
	path, query, asked := strings.Cut(path, "?")
	address := host + Path + path
	if asked {
		values := url.Values{}
		for pair := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(pair, "=")
			values.Add(name, value)
		}
		address += "?" + values.Encode()
	}
	request := httptest.NewRequestWithContext(d.t.Context(), method, address, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+d.key)
	if body != "" {
		request.Header.Set("Content-Type", "application/scim+json; charset=utf-8")
	}
	return d.does(request)
}

func (w *world) does(request *http.Request) reply {
	w.t.Helper()
	ctx, counter := pgtest.Count(request.Context())
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, request.WithContext(ctx))
	got := reply{status: recorder.Code, header: recorder.Header(), text: recorder.Body.String(), statements: counter.Statements()}
	if got.text != "" {
		if err := json.Unmarshal(recorder.Body.Bytes(), &got.body); err != nil {
			w.t.Fatalf("%s %s: %v in %s", request.Method, request.URL, err, got.text)
		}
	}
	return got
}

// finds is the id of the one thing that a filter finds.
func (d *directory) finds(list, filter string) string {
	d.t.Helper()
	got := d.sends("GET", "/"+list+"?filter="+filter, "")
	if got.at("totalResults") != "1" {
		d.t.Fatalf("%s %s finds %s", list, filter, got.text)
	}
	return got.at("Resources/0/id")
}
