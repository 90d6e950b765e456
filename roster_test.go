package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestAnIdentityProviderKeepsTheRoster(t *testing.T) {
	t.Parallel()
	p := starts(t, demoDir(t))
	key := runs(t, in(p.dir), "key", "create", "Directory", "--service-account", "directory@partner.example", "--scopes", "roster:write")
	if key.code != 0 {
		t.Fatalf("there is no key: %s", key.stderr)
	}
	sends := func(method, path, bearer, body string) (int, string, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+bearer)
		request.Header.Set("Content-Type", "application/scim+json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text), response.Header.Get("Location")
	}
	const nina = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"nina.new@demo.example","displayName":"Nina New","title":"MA"}`

	status, text, location := sends(http.MethodPost, "/scim/v2/Users", strings.TrimSpace(key.stdout), nina)

	if status != http.StatusCreated || !strings.HasPrefix(location, p.url+"/scim/v2/Users/user_") {
		t.Errorf("it is answered %d %s, at %s", status, text, location)
	}
	if got := runs(t, in(p.dir), "token", "--email", "nina.new@demo.example"); got.code != 0 {
		t.Errorf("Nina can't sign in: %s", got.stderr)
	}
	if status, text, _ := sends(http.MethodPost, "/scim/v2/Users", "garbage", nina); status != http.StatusUnauthorized {
		t.Errorf("without a key it is answered %d %s", status, text)
	}
	if status, text, _ := sends(http.MethodPost, "/scim/v2/Users", p.token("nina.new@demo.example"), nina); status != http.StatusNotFound {
		t.Errorf("with the token of a person it is answered %d %s", status, text)
	}
}
