package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// day is a partner's program on one day: it has a key, keeps a copy of the clinic's people and is told of changes.
type day struct {
	t      *testing.T
	server *process
	key    string
	// people are those of the copy by id, as name and waiting rooms.
	people map[string]string
	cursor string
	// limit is what the server said last of the budget.
	limit string
}

// asks is process.asks with the key, in whose answers the budget stands.
func (d *day) asks(query string, variables map[string]any, data any) int {
	d.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		d.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.server.url+"/graphql", strings.NewReader(string(body)))
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+d.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	d.limit = response.Header.Get("RateLimit")
	var whole struct {
		Data   json.RawMessage
		Errors []json.RawMessage
	}
	if err := json.Unmarshal(answer, &whole); err != nil || len(whole.Errors) > 0 && response.StatusCode == http.StatusOK {
		d.t.Fatalf("%d: %s", response.StatusCode, answer)
	}
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(whole.Data, data); err != nil {
			d.t.Fatal(err)
		}
	}
	return response.StatusCode
}

// someone is a person as the partner reads them.
type someone struct {
	ID           string
	Name         string
	WaitingRooms struct{ Nodes []struct{ Name string } }
}

func (s someone) String() string {
	said := s.Name
	for _, room := range s.WaitingRooms.Nodes {
		said += ", " + room.Name
	}
	return said
}

const aPerson = `{ id name waitingRooms { nodes { name } } }`

// readsAll reads the clinic whole, page by page.
func (d *day) readsAll() {
	d.t.Helper()
	for after, more := any(nil), true; more; {
		var read struct {
			Directory struct {
				Staff struct {
					Nodes    []someone
					PageInfo struct {
						HasNextPage bool
						EndCursor   string
					}
					ChangesCursor string
				}
			}
		}
		if status := d.asks(`query ($after: Cursor) { directory { staff(first: 5, after: $after) { nodes `+aPerson+` pageInfo { hasNextPage endCursor } changesCursor } } }`,
			map[string]any{"after": after}, &read); status != http.StatusOK {
			d.t.Fatalf("the directory answers %d", status)
		}
		staff := read.Directory.Staff
		for _, person := range staff.Nodes {
			d.people[person.ID] = person.String()
		}
		if d.cursor == "" {
			d.cursor = staff.ChangesCursor
		}
		after, more = staff.PageInfo.EndCursor, staff.PageInfo.HasNextPage
	}
}

// catchesUp applies what became of the clinic, and says what that was.
func (d *day) catchesUp() string {
	d.t.Helper()
	var read struct {
		Directory struct {
			Changes struct {
				Nodes []struct {
					Kind, UserID, Cursor string
					User                 *someone
				}
			}
		}
	}
	d.asks(`query ($after: Cursor!) { directory { changes(after: $after, first: 500) { nodes { kind userId cursor user `+aPerson+` } } } }`, map[string]any{"after": d.cursor}, &read)
	var heard []string
	for _, change := range read.Directory.Changes.Nodes {
		d.cursor = change.Cursor
		d.people[change.UserID] = change.User.String()
		heard = append(heard, change.Kind+" "+change.User.String())
	}
	return strings.Join(heard, "; ")
}

// TestAPartnersDay is one from the key to its end: contacts read whole, somebody who moves, the change of the copy, the webhook that tells it, and the
// key revoked, all within the limits.
func TestAPartnersDay(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t), "CORRIDOR_WEBHOOK_NETWORKS=127.0.0.0/8")
	operates := func(arguments ...string) string {
		t.Helper()
		got := runs(t, in(server.dir), arguments...)
		if got.code != 0 {
			t.Fatalf("corridor %v: %s", arguments, got.stderr)
		}
		return strings.TrimSpace(got.stdout)
	}
	partner := &day{t: t, server: server, people: map[string]string{}}
	partner.key = operates("key", "create", "Directory", "--service-account", "directory@partner.example", "--scopes", "contacts:read,webhooks:write", "--networks", "127.0.0.0/8")
	told := make(chan string, 100)
	var verifier *standardwebhooks.Webhook
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifier.Verify(body, r.Header); err != nil {
			t.Errorf("a webhook that can't be verified: %v", err)
		}
		told <- string(body)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(receiver.Close)

	partner.readsAll()
	if len(partner.people) != 15 {
		t.Errorf("the copy has %d people, not 14 and the service account", len(partner.people))
	}
	var made struct {
		CreateWebhook struct {
			Secret     string
			UserErrors []struct{ Message string }
		}
	}
	partner.asks(`mutation ($url: String!) { createWebhook(input: {clientKey: "day", name: "Day", url: $url, eventTypes: [CONTACT_CHANGED]}) { secret userErrors { message } } }`, map[string]any{"url": receiver.URL}, &made)
	if len(made.CreateWebhook.UserErrors) > 0 {
		t.Fatal(made.CreateWebhook.UserErrors)
	}
	var err error
	if verifier, err = standardwebhooks.NewWebhook(made.CreateWebhook.Secret); err != nil {
		t.Fatal(err)
	}

	// Zoë moves to another room.
	exported := filepath.Join(t.TempDir(), "roster.csv")
	roster := "email,name,role,waiting_rooms\n"
	for line := range strings.SplitSeq(partner.roster(), "\n") {
		roster += strings.Replace(line, "Zoë Brown,CSR,Front Desk", "Zoë Brown,CSR,Imaging", 1) + "\n"
	}
	if err := os.WriteFile(exported, []byte(roster), 0o600); err != nil {
		t.Fatal(err)
	}
	operates("roster", "import", exported, "--clinic", "Lakeside Clinic")

	var event struct {
		Type string
		Data struct{ UserID string }
	}
	select {
	case body := <-told:
		if err := json.Unmarshal([]byte(body), &event); err != nil || event.Type != "contact.changed" {
			t.Errorf("the webhook told %s", body)
		}
		if strings.Contains(body, "Zoë") || strings.Contains(body, "zoe.brown") {
			t.Errorf("the webhook tells more than ids: %s", body)
		}
	case <-time.After(patience):
		t.Fatal("no webhook told that somebody moved")
	}
	if got, want := partner.catchesUp(), "CHANGED Zoë Brown, Imaging"; got != want {
		t.Errorf("the copy heard %q, want %q", got, want)
	}
	if got := partner.people[event.Data.UserID]; got != "Zoë Brown, Imaging" {
		t.Errorf("the webhook was about %q", got)
	}
	if !strings.Contains(partner.limit, "r=119") {
		t.Errorf("the day cost too much: %s", partner.limit)
	}

	id := strings.Fields(strings.Split(operates("key", "list"), "\n")[1])[0]
	operates("key", "revoke", id)
	eventually(t, "the key is refused", func() bool {
		return partner.asks(`{ viewer { name } }`, nil, &struct{}{}) == http.StatusUnauthorized
	})
}

// roster is the clinic's, without its header, as the directory has it.
func (d *day) roster() string {
	d.t.Helper()
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, d.server.url+"/directory/staff.jsonl", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+d.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	var rows []string
	for decoder := json.NewDecoder(response.Body); ; {
		var person struct {
			Email, Name, RoleLabel, Kind string
			WaitingRooms                 []struct{ Name string }
		}
		if err := decoder.Decode(&person); err != nil {
			return strings.Join(rows, "\n")
		}
		if person.Kind == "SERVICE" {
			continue
		}
		var rooms []string
		for _, room := range person.WaitingRooms {
			rooms = append(rooms, room.Name)
		}
		rows = append(rows, strings.Join([]string{person.Email, person.Name, person.RoleLabel, strings.Join(rooms, ";")}, ","))
	}
}
