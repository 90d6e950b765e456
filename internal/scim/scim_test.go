package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"corridor/internal/auth"
	"corridor/internal/chat"
)

func TestWhoMayNotWriteTheRosterFindsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clinic("Clinic")
	reader := w.clinic("Elsewhere", chat.ContactsRead, chat.ConversationsWrite)
	bound := w.boundKeyFor("Clinic")
	nobody := &directory{w, "corridor_nothing"}
	for _, path := range []string{"/Users", "/Users/user_01h455vb4pex5vsknk084sn02q", "/Groups", "/ServiceProviderConfig", "/Schemas", "/Nowhere"} {
		for who, partner := range map[string]*directory{"without the scope": reader, "bound to documents": bound} {
			if got, want := partner.sends("GET", path, ""), partner.sends("GET", "/Nowhere", ""); got.status != http.StatusNotFound || got.text != want.text {
				t.Errorf("%s %s is answered %d %s", who, path, got.status, got.text)
			}
		}
		got := nobody.sends("GET", path, "")
		if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" || got.at("schemas/0") != "urn:ietf:params:scim:api:messages:2.0:Error" {
			t.Errorf("without a key %s is answered %d %s", path, got.status, got.text)
		}
	}
}

func TestAnotherClinicIsAsUnknownAsWhatNeverWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	here, there := w.clinic("Clinic"), w.clinic("Elsewhere")
	user, room := there.finds("Users", `userName eq "ann@x.example"`), there.finds("Groups", `displayName eq "Desk"`)
	const noUser, noRoom = "user_01h455vb4pex5vsknk084sn02q", "waiting_room_01h455vb4pex5vsknk084sn02q"
	desk := here.finds("Groups", `displayName eq "Desk"`)
	for _, ask := range []struct{ method, path, body string }{
		{"GET", "/Users/{user}", ""},
		{"GET", `/Users?filter=id eq "{user}"`, ""},
		{"PATCH", "/Users/{user}", patchOp + `{"op":"replace","path":"active","value":false}]}`},
		{"PUT", "/Users/{user}", `{` + user0 + `}`},
		{"DELETE", "/Users/{user}", ""},
		{"GET", "/Groups/{room}", ""},
		{"PATCH", "/Groups/{room}", patchOp + `{"op":"replace","path":"displayName","value":"Ours"}]}`},
		{"PATCH", "/Groups/{room}", patchOp + `{"op":"remove","path":"members"}]}`},
		{"PUT", "/Groups/{room}", `{` + group + `,"displayName":"Ours"}`},
		{"DELETE", "/Groups/{room}", ""},
		{"PATCH", "/Groups/" + desk, patchOp + `{"op":"add","path":"members","value":[{"value":"{user}"}]}]}`},
		{"PATCH", "/Groups/" + desk, patchOp + `{"op":"remove","path":"members","value":[{"value":"{user}"}]}]}`},
	} {
		named := func(text, user, room string) string {
			return strings.NewReplacer("{user}", user, "{room}", room).Replace(text)
		}

		foreign := here.sends(ask.method, named(ask.path, user, room), named(ask.body, user, room))
		unknown := here.sends(ask.method, named(ask.path, noUser, noRoom), named(ask.body, noUser, noRoom))

		if foreign.status != unknown.status || foreign.text != unknown.text || foreign.statements != unknown.statements || strings.HasPrefix(ask.path, "/Users/") && foreign.status != http.StatusNotFound {
			t.Errorf("%s %s is answered %d %s by %d statements, and for what never was %d %s by %d", ask.method, ask.path, foreign.status, foreign.text, foreign.statements,
				unknown.status, unknown.text, unknown.statements)
		}
	}
	if got := there.sends("GET", "/Groups/"+room, ""); got.at("displayName") != "Desk" || got.at("members") != "2 of them" {
		t.Errorf("elsewhere there is %s now", got.text)
	}
}

const user0 = user + `,"userName":"new@x.example","displayName":"New"`

func TestWhoComesBackComesIntoTheirRooms(t *testing.T) {
	t.Parallel()
	d := newWorld(t).clinic("Clinic")
	ann, desk := d.finds("Users", `userName eq "ann@x.example"`), d.finds("Groups", `displayName eq "Desk"`)
	active := func(value string) reply {
		t.Helper()
		return d.sends("PATCH", "/Users/"+ann, patchOp+`{"op":"replace","path":"active","value":`+value+`}]}`)
	}
	makes := func(body string) string {
		t.Helper()
		got := d.sends("POST", "/Groups", body)
		if got.status != http.StatusCreated {
			t.Fatal(got.text)
		}
		return got.at("id")
	}
	lab := makes(`{` + group + `,"displayName":"Lab","members":[{"value":"` + ann + `"}]}`)
	ward := makes(`{` + group + `,"displayName":"Ward","members":[{"value":"` + ann + `"}]}`)
	xray := makes(`{` + group + `,"displayName":"X-ray"}`)
	if got := active("false"); got.at("groups") != "nothing" {
		t.Errorf("deactivated, Ann is in %s", got.at("groups"))
	}
	// While she is away a room is closed, she leaves one, one gets other members, and she comes into another.
	d.sends("DELETE", "/Groups/"+lab, "")
	d.sends("PATCH", "/Groups/"+ward, patchOp+`{"op":"replace","path":"members","value":[]}]}`)
	d.sends("PATCH", "/Groups/"+xray, patchOp+`{"op":"add","path":"members","value":[{"value":"`+ann+`"}]}]}`)

	got := active("true")

	if got.at("groups") != "2 of them" || got.at("groups/0/value") != desk || got.at("groups/1/value") != xray {
		t.Errorf("Ann comes back as %s", got.text)
	}
}

func TestWhatIsNoScimIsRefused(t *testing.T) {
	t.Parallel()
	d := newWorld(t).clinic("Clinic")
	for what, c := range map[string]struct {
		kind, body, origin string
		status             int
	}{
		"a form":       {kind: "application/x-www-form-urlencoded", body: "userName=x", status: http.StatusUnsupportedMediaType},
		"too much":     {kind: "application/json", body: strings.Repeat(" ", maxBody+1), status: http.StatusRequestEntityTooLarge},
		"a page":       {kind: "application/json", body: "{}", origin: "https://elsewhere.example", status: http.StatusForbidden},
		"half of JSON": {kind: "application/json", body: "{", status: http.StatusBadRequest},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, host+Path+"/Users", strings.NewReader(c.body))
		request.Header.Set("Authorization", "Bearer "+d.key)
		request.Header.Set("Content-Type", c.kind)
		if c.origin != "" {
			request.Header.Set("Origin", c.origin)
		}

		got := d.does(request)

		if got.status != c.status || got.at("schemas/0") != "urn:ietf:params:scim:api:messages:2.0:Error" {
			t.Errorf("%s is answered %d %s", what, got.status, got.text)
		}
	}
}

func TestAListCostsMoreThanOneAndTheBudgetEnds(t *testing.T) {
	t.Parallel()
	d := newWorld(t).clinic("Clinic")
	for path, want := range map[string]int{
		"/Users": 50, "/Users/": 50, "/Users?count=20": 2, "/Users?count=0": 1, "/Users?count=100000": 50, `/Users?filter=userName eq "ann@x.example"`: 1,
		"/Groups": 5, "/Groups?count=500": 5, "/Groups?excludedAttributes=members": 50, "/Groups?attributes=displayName&count=10": 1, "/Users/user_01h455vb4pex5vsknk084sn02q": 1, "/Schemas": 1,
	} {
		path, query, _ := strings.Cut(path, "?")
		if got := cost(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: Path + path, RawQuery: strings.ReplaceAll(query, " ", "+")}}); got != want {
			t.Errorf("%s?%s costs %d, want %d", path, query, got, want)
		}
	}
	var got reply
	for range keyBudget/50 + 1 {
		got = d.sends("GET", "/Users", "")
	}
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || got.header.Get("RateLimit") == "" || got.at("status") != "429" {
		t.Errorf("at the end it is answered %d %s", got.status, got.text)
	}
}

// crowd puts so many more people into the rooms of a clinic, each into all.
func (w *world) crowd(clinic string, people int, rooms ...string) {
	w.t.Helper()
	rows := []chat.RosterRow{{Email: "ann@x.example", Name: "Ann Lee", Role: "MA", WaitingRooms: rooms}, {Email: "bob@x.example", Name: "Bob Roy", Role: "CSR", WaitingRooms: rooms}}
	for n := range people {
		rows = append(rows, chat.RosterRow{Email: fmt.Sprintf("p%d@x.example", n), Name: fmt.Sprint("Person ", n), Role: "MA", WaitingRooms: rooms})
	}
	in := chat.ImportRosterInput{Clinic: clinic, Rows: rows, AllowDeactivations: true, Progress: func(string, int, int) {}}
	if _, err := w.chat.ImportRoster(context.Background(), in); err != nil {
		w.t.Fatal(err)
	}
}

// left is what is left of the key's budget after an answer.
func (r reply) left(t *testing.T) (left int) {
	t.Helper()
	if _, err := fmt.Sscanf(r.header.Get("RateLimit"), `"key";r=%d;`, &left); err != nil {
		t.Fatalf("RateLimit is %q", r.header.Get("RateLimit"))
	}
	return left
}

func TestWhoIsInARoomCostsAsManyAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.clinic("Clinic")
	w.crowd("Clinic", 998, "Desk", "Lab")
	desk := d.finds("Groups", `displayName eq "Desk"`) // for 1 point and 100
	left := keyBudget - 101
	for _, c := range []struct {
		path         string
		cost, shown  int
		list, absent bool
	}{
		{path: "/Groups/" + desk, cost: 101, shown: 1000},
		{path: "/Groups/" + desk + "?excludedAttributes=members", cost: 1, absent: true},
		{path: "/Groups", cost: 205, list: true, shown: 1000},
		{path: `/Groups?filter=displayName eq "Lab"`, cost: 101, list: true, shown: 1000},
		{path: "/Groups?excludedAttributes=members", cost: 50, list: true, absent: true},
	} {
		got := d.sends("GET", c.path, "")

		members, want := "members", fmt.Sprintf("%d of them", c.shown)
		if c.list {
			members = "Resources/0/members"
		}
		if c.absent {
			want = "nothing"
		}
		if cost := left - got.left(t); got.status != http.StatusOK || got.at(members) != want || cost != c.cost {
			t.Errorf("%s is %d, shows %s and costs %d, want %s and %d", c.path, got.status, got.at(members), cost, want, c.cost)
		}
		left = got.left(t)
	}

	for left > 100 {
		left = d.sends("GET", "/Groups/"+desk, "").left(t)
	}
	got := d.sends("GET", "/Groups/"+desk, "")

	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || got.at("status") != "429" || got.at("members") != "nothing" {
		t.Errorf("with %d points left the room is answered %d %.200s", left, got.status, got.text)
	}
	if got := d.sends("PATCH", "/Groups/"+desk, patchOp+`{"op":"replace","path":"displayName","value":"Front"}]}`); got.status != http.StatusNoContent {
		t.Errorf("what is left is enough for a change, which is answered %d %s", got.status, got.text)
	}
}

func TestAListShowsOnlySoManyMembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.clinic("Clinic")
	var rooms []string
	for n := range maxRoomsWithMembers + 1 {
		rooms = append(rooms, fmt.Sprintf("Room %02d", n))
	}
	w.crowd("Clinic", 0, rooms...)
	few := d.sends("GET", "/Groups?count=500", "")
	rest := d.sends("GET", fmt.Sprintf("/Groups?startIndex=%d", maxRoomsWithMembers+1), "")
	w.crowd("Clinic", maxMembers/maxRoomsWithMembers, rooms...)

	many := d.sends("GET", "/Groups", "")
	less := d.sends("GET", "/Groups?count=2", "")

	if few.at("itemsPerPage") != fmt.Sprint(maxRoomsWithMembers) || few.at("Resources") != fmt.Sprintf("%d of them", maxRoomsWithMembers) || few.at("totalResults") != fmt.Sprint(len(rooms)) || rest.at("Resources") != "1 of them" {
		t.Errorf("of %s rooms %s are listed, by %s, and then %s", few.at("totalResults"), few.at("Resources"), few.at("itemsPerPage"), rest.at("Resources"))
	}
	if many.status != http.StatusBadRequest || many.at("scimType") != "tooMany" || less.status != http.StatusOK {
		t.Errorf("too many are answered %d %.200s, two rooms %d", many.status, many.text, less.status)
	}
}

func TestWhoCanNotBeKnownComesAgainLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.clinic("Clinic")
	w.broken = fmt.Errorf("away: %w", auth.ErrUnavailable)

	got := d.sends("GET", "/Users", "")

	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.at("status") != "503" || w.logged.Len() > 0 {
		t.Errorf("it is answered %d %s, and logged %q", got.status, got.text, w.logged.String())
	}
}

func TestWhoFindsTheRosterBusyComesAgainLater(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	v := &visit{ResponseWriter: recorder}
	request := httptest.NewRequestWithContext(context.WithValue(t.Context(), visitKey{}, v), http.MethodPatch, host, http.NoBody)

	_ = new(handler).answer(request, &chat.Error{Code: chat.CodeBusy, Message: "Again."})
	v.WriteHeader(http.StatusInternalServerError) // as the library has it
	_, _ = v.Write([]byte("{}"))

	if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" || !strings.Contains(recorder.Body.String(), `"detail":"Again."`) || strings.Contains(recorder.Body.String(), "{}") {
		t.Errorf("it is answered %d %s", recorder.Code, recorder.Body)
	}
}

func TestAttributesMayBearTheNameOfTheirSchema(t *testing.T) {
	t.Parallel()
	d := newWorld(t).clinic("Clinic")
	desk := d.finds("Groups", `displayName eq "Desk"`)

	given := d.sends("PATCH", "/Groups/"+desk, patchOp+`{"op":"add","value":{"urn:ietf:params:scim:schemas:core:2.0:Group:externalId":"ext-42"}}]}`)

	if got := d.sends("GET", "/Groups/"+desk, ""); given.status != http.StatusNoContent || got.at("displayName") != "Desk" || got.at("externalId") != "ext-42" {
		t.Errorf("after %d %s it is %s", given.status, given.text, got.text)
	}
}

func TestAPartOfAMemberCanNotBeTakenOut(t *testing.T) {
	t.Parallel()
	d := newWorld(t).clinic("Clinic")
	desk, ann := d.finds("Groups", `displayName eq "Desk"`), d.finds("Users", `userName eq "ann@x.example"`)

	refused := d.sends("PATCH", "/Groups/"+desk, patchOp+`{"op":"remove","path":"members[value eq \"`+ann+`\"].display"}]}`)

	if got := d.sends("GET", "/Groups/"+desk, ""); refused.status != http.StatusBadRequest || refused.at("scimType") != "invalidPath" || got.at("members") != "2 of them" {
		t.Errorf("after %d %s it is %s", refused.status, refused.text, got.text)
	}
}

func TestAFaultTellsNothingButItsNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.clinic("Clinic")
	w.broken = errors.New("a secret")

	got := d.sends("GET", "/Users", "")

	if got.status != http.StatusInternalServerError || strings.Contains(got.text, "secret") || strings.Count(w.logged.String(), "\n") != 1 {
		t.Errorf("it is answered %d %s, and logged %q", got.status, got.text, w.logged.String())
	}
}
