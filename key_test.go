package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// key makes a key on the command line, and returns its id with the key.
func (p *process) key(arguments ...string) (id, key string) {
	p.t.Helper()
	made := runs(p.t, in(p.dir), append([]string{"key", "create"}, arguments...)...)
	if made.code != 0 {
		p.t.Fatalf("no key: %s", made.stderr)
	}
	return strings.Fields(made.stderr)[1], strings.TrimSpace(made.stdout)
}

// refusals are why keys were refused, by the log, with the ids of those that there are.
func (p *process) refusals() (refusals []string) {
	p.t.Helper()
	for line := range strings.Lines(p.output.String()) {
		var said struct{ Level, Msg, Reason, Key string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "a key is refused" {
			refusals = append(refusals, strings.TrimSpace(said.Level+" "+said.Reason+" "+said.Key))
		}
	}
	return refusals
}

func TestTheLogSaysWhyAKeyIsRefusedToWhoAsksForIt(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t), "CORRIDOR_LOG_LEVEL=debug")
	lab := []string{"--service-account", "lab@partner.example", "--scopes", "contacts:read,roster:write"}
	revoked, revokedKey := server.key(append(lab, "Revoked")...)
	ended, endedKey := server.key(append(lab, "Ended")...)
	elsewhere, elsewhereKey := server.key(append(lab, "Elsewhere", "--networks", "192.0.2.0/24")...)
	good, goodKey := server.key(append(lab, "Good")...)
	runs(t, in(server.dir), "key", "revoke", revoked)
	runs(t, in(server.dir), "key", "rotate", ended, "--overlap", "0s")
	otherwise := func(key string, at int) string {
		letter := "A"
		if key[at:at+1] == letter {
			letter = "B"
		}
		return key[:at] + letter + key[at+1:]
	}
	bodies := map[string]bool{}
	for _, refused := range []struct{ key, want string }{
		{revokedKey, "it was revoked " + revoked},
		{endedKey, "its time is over " + ended},
		{elsewhereKey, "it may not be used from this network " + elsewhere},
		{otherwise(goodKey, len(goodKey)-1), "its secret is another " + good},
		{otherwise(goodKey, len("corridor_")), "there is no such key"},
		{"corridor_key", "it is not written as keys are"},
	} {
		before := len(server.refusals())

		for _, path := range []string{"/graphql?query={viewer{name}}", "/directory/staff.csv", "/scim/v2/Users"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+refused.key)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body := new(strings.Builder)
			_ = response.Write(body)
			_ = response.Body.Close()
			_, said, _ := strings.Cut(body.String(), "\r\n\r\n")
			bodies[path+response.Status+said] = true
		}

		eventually(t, "it is in the log", func() bool { return len(server.refusals()) >= before+3 })
		got := server.refusals()[before:]
		if strings.Join(got, "; ") != strings.Repeat("; DEBUG "+refused.want, 3)[2:] {
			t.Errorf("the log says %q, want %q three times", got, refused.want)
		}
	}
	if len(bodies) != 3 {
		t.Errorf("answers tell keys apart: %q", slices.Sorted(maps.Keys(bodies)))
	}
	for _, key := range []string{revokedKey, endedKey, elsewhereKey, goodKey} {
		if strings.Contains(server.output.String(), key[20:]) {
			t.Error("a key is in the log")
		}
	}
}
