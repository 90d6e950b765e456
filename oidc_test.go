package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"corridor/internal/demo"
	"corridor/internal/oidctest"
)

// status is how a request with a token is answered.
func (p *process) status(token string) int {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/graphql", strings.NewReader(`{"query":"{ viewer { name } }"}`))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// directory is how SCIM is answered with a token.
func (p *process) directory(token string) *http.Response {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/scim/v2/Users", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response
}

func TestAServerGoesOnWithoutTheIssuerOfItsTokens(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	settings := []string{"CORRIDOR_DEMO=true", "CORRIDOR_OIDC_ISSUER=" + provider.Issuer, "CORRIDOR_OIDC_AUDIENCE=" + oidctest.Client, "CORRIDOR_OIDC_MFA=amr=mfa"}
	server := starts(t, demoDir(t), settings...)
	person := map[string]any{"corridor_clinic": demo.Clinic, "amr": []string{"pwd", "mfa"}}
	token := provider.SignIn(ann, person).Access
	if seen := server.overview(token); seen.Viewer.Name != "Ann Lee" {
		t.Errorf("signed in is %q", seen.Viewer.Name)
	}
	if status := server.status(provider.SignIn(ann, map[string]any{"amr": []string{"pwd"}}).Access); status != http.StatusUnauthorized {
		t.Errorf("one proof was enough: %d", status)
	}

	provider.Rotate()
	unknown := provider.SignIn(maria, person).Access
	provider.Leave()
	if code := server.ends(syscall.SIGTERM); code != 0 {
		t.Fatalf("the server ended with %d", code)
	}
	server = starts(t, server.dir, settings...)

	socket := server.follows(token)
	if seen := server.overview(token); seen.Viewer.Name != "Ann Lee" {
		t.Errorf("while the issuer is away it is %q", seen.Viewer.Name)
	}
	if status := server.status(server.token(maria)); status != http.StatusOK {
		t.Errorf("a token of the server's own: %d", status)
	}
	if got := server.directory(unknown); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("with a key that can't be had a directory is answered %s", got.Status)
	}
	provider.Return()
	provider.Rotate()
	later := provider.SignIn(maria, person).Access
	eventually(t, "the new key is known", func() bool { return server.status(later) == http.StatusOK })

	begun := time.Now()
	got := runs(t, in(server.dir), "session", "end", "--email", ann)

	if got.code != 0 || !strings.Contains(got.stdout, ann) {
		t.Errorf("session end: %d %s%s", got.code, got.stdout, got.stderr)
	}
	if code := closes(t, socket); code != 4403 {
		t.Errorf("the socket was closed with %d", code)
	}
	if took := time.Since(begun); took > 10*time.Second { // five, and what the command takes to start
		t.Errorf("it took %s", took)
	}
	if status := server.status(token); status != http.StatusUnauthorized {
		t.Errorf("the token of an ended session: %d", status)
	}
	if status := server.status(later); status != http.StatusOK {
		t.Errorf("the token of somebody else: %d", status)
	}
	if got := runs(t, in(server.dir), "session", "end", "--email", "nobody@lakeside.example"); got.code != exitFailed || !strings.Contains(got.stderr, "Nobody has the e-mail address") {
		t.Errorf("sessions of nobody: %d %s", got.code, got.stderr)
	}
}
