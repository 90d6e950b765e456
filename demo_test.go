package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"corridor/internal/demo"
)

// posts sends a body and returns the status and the answer. A header is "Name: value".
func (p *process) posts(path, body string, headers ...string) (int, string) {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, header := range append([]string{"Content-Type: application/json"}, headers...) {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// demoPeople are the e-mail addresses of whom one can be signed in as.
func (p *process) demoPeople() (emails []string) {
	p.t.Helper()
	status, body := p.gets("/demo/people")
	var said struct {
		Clinic string
		People []struct{ Email, Name, RoleLabel string }
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil || status != http.StatusOK || said.Clinic != demo.Clinic {
		p.t.Fatalf("the people are answered with %d %s", status, body)
	}
	for _, person := range said.People {
		if person.Name == "" || person.RoleLabel == "" {
			p.t.Errorf("somebody is %+v", person)
		}
		emails = append(emails, person.Email)
	}
	return emails
}

func TestWhoeverComesIsSignedInToTheDemoClinic(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	people := server.demoPeople()
	if len(people) != 14 || people[0] != ann || people[13] != "zoe.brown@lakeside.example" {
		t.Errorf("the people are %q", people)
	}

	status, body := server.posts("/demo/token", `{"email":"`+maria+`"}`)

	var said struct {
		Token     string
		ExpiresAt time.Time
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil || status != http.StatusOK {
		t.Fatalf("it is answered with %d %s", status, body)
	}
	if left := time.Until(said.ExpiresAt); left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("the token is good for %s", left)
	}
	if got := server.overview(said.Token).Viewer.Name; got != "María Álvarez" {
		t.Errorf("the token is of %q", got)
	}
}

func TestNobodyElseIsSignedInToTheDemoClinic(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	for _, roster := range []struct{ clinic, people, flag string }{
		{"East", ann + ",Another Ann,CSR,Desk\nida@east.example,Ida,CSR,Desk\n", "--new-clinic"},
		{demo.Clinic, maria + ",María Álvarez,Physician,Desk\nreal@lakeside.example,Real,CSR,Desk\n", "--allow-deactivations"},
	} {
		got := runsWith(t, "email,name,role,waiting_rooms\n"+roster.people, in(server.dir), "roster", "import", "-", "--clinic", roster.clinic, roster.flag)
		if got.code != 0 {
			t.Fatalf("no roster: %s", got.stderr)
		}
	}

	for who, email := range map[string]string{
		"a person of another clinic": "ida@east.example", "whose address is that of a deactivated person here": ann,
		"who came by another roster": "real@lakeside.example", "nobody": "nobody@lakeside.example", "something else": "\\u0000",
	} {
		if status, body := server.posts("/demo/token", `{"email":"`+email+`"}`); status != http.StatusNotFound || !strings.Contains(body, `"code":"NOT_FOUND"`) {
			t.Errorf("%s is answered with %d %s", who, status, body)
		}
	}
	if got := server.demoPeople(); len(got) != 1 || got[0] != maria {
		t.Errorf("the people are %q", got)
	}
}

func TestTheDemoSignsInOnlyWhoAsksProperly(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t), "CORRIDOR_ORIGINS=https://host.example")
	proper := `{"email":"` + ann + `"}`
	for what, test := range map[string]struct {
		body, header, code string
		status             int
	}{
		"another page":                {proper, "Origin: https://elsewhere.example", "FORBIDDEN_ORIGIN", http.StatusForbidden},
		"a page that may":             {proper, "Origin: https://host.example", "", http.StatusOK},
		"a page of the server":        {proper, "Origin: " + server.url, "", http.StatusOK},
		"a form":                      {proper, "Content-Type: text/plain", "UNSUPPORTED_MEDIA_TYPE", http.StatusUnsupportedMediaType},
		"no JSON":                     {`email=` + ann, "Accept: */*", "BAD_REQUEST", http.StatusBadRequest},
		"two requests":                {proper + proper, "Accept: */*", "BAD_REQUEST", http.StatusBadRequest},
		"a request without a person":  {`{}`, "Accept: */*", "BAD_REQUEST", http.StatusBadRequest},
		"a request that is too large": {proper + strings.Repeat(" ", 1<<10), "Accept: */*", "BAD_REQUEST", http.StatusBadRequest},
	} {
		status, body := server.posts("/demo/token", test.body, test.header)
		if status != test.status || !strings.Contains(body, `"code":"`+test.code) && test.code != "" {
			t.Errorf("%s is answered with %d %s", what, status, body)
		}
	}
	if status, body := server.gets("/demo/token"); status != http.StatusNotFound || !strings.Contains(body, "NOT_FOUND") {
		t.Errorf("fetched, a token is answered with %d %s", status, body)
	}
}

func TestWithoutADemoNobodyIsSignedIn(t *testing.T) {
	t.Parallel()
	elsewhere := starts(t, emptyDir(t), "CORRIDOR_DEMO=false")
	roster := "email,name,role,waiting_rooms\n" + ann + ",Ann,CSR,Desk\n"
	if got := runsWith(t, roster, in(elsewhere.dir), "roster", "import", "-", "--clinic", "East"); got.code != 0 {
		t.Fatalf("no roster: %s", got.stderr)
	}
	// Where it was made before, where there is none, and where another clinic came first.
	for what, server := range map[string]*process{
		"not wanted any more": starts(t, demoDir(t), "CORRIDOR_DEMO=false"), "not wanted": elsewhere, "too late": starts(t, elsewhere.dir, "CORRIDOR_DEMO=true"),
	} {
		for _, answer := range []func() (int, string){
			func() (int, string) { return server.gets("/demo/people") },
			func() (int, string) { return server.posts("/demo/token", `{"email":"`+ann+`"}`) },
		} {
			if status, body := answer(); status != http.StatusNotFound || !strings.Contains(body, `"code":"NOT_FOUND"`) {
				t.Errorf("%s it is answered with %d %s", what, status, body)
			}
		}
	}
}

func TestTheDemoWaitsForTheServer(t *testing.T) {
	t.Parallel()
	for wanted, want := range map[bool]int{true: http.StatusServiceUnavailable, false: http.StatusNotFound} {
		s := &server{settings: &serveCommand{serverSettings: serverSettings{Demo: &wanted}}}
		answer := httptest.NewRecorder()

		s.routes().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/demo/people", nil))

		if answer.Code != want {
			t.Errorf("wanted %v, it is answered with %d %s", wanted, answer.Code, answer.Body)
		}
	}
}
