package scim

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

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
		"/Groups": 250, "/Groups?excludedAttributes=members": 50, "/Groups?attributes=displayName&count=10": 1, "/Users/user_01h455vb4pex5vsknk084sn02q": 1, "/Schemas": 1,
	} {
		path, query, _ := strings.Cut(path, "?")
		if got := cost(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: Path + path, RawQuery: strings.ReplaceAll(query, " ", "+")}}); got != want {
			t.Errorf("%s?%s costs %d, want %d", path, query, got, want)
		}
	}
	var got reply
	for range keyBudget/250 + 1 {
		got = d.sends("GET", "/Groups", "")
	}
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || got.header.Get("RateLimit") == "" || got.at("status") != "429" {
		t.Errorf("at the end it is answered %d %s", got.status, got.text)
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
