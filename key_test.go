package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"corridor/internal/pgtest"
)

// key makes a key on the command line, and returns its id with the key.
func (p *process) key(arguments ...string) (id, key string) {
	p.t.Helper()
	made := runs(p.t, in(p.dir), append([]string{"key", "create"}, arguments...)...)
	if made.code != 0 {
		p.t.Fatalf("no key: %s", made.stderr)
	}
	_, rest, _ := strings.Cut(made.stderr, "Key ")
	return strings.Fields(rest)[0], strings.TrimSpace(made.stdout)
}

// refusals are why keys and tokens were refused, by the log, with the ids of those keys that there are.
func (p *process) refusals() (refusals []string) {
	p.t.Helper()
	for line := range strings.Lines(p.output.String()) {
		var said struct{ Level, Msg, Reason, Key string }
		if json.Unmarshal([]byte(line), &said) == nil && (said.Msg == "a key is refused" || said.Msg == "a token is refused") {
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
		{"no.token.this", "the token is not valid: it is not written as tokens are"},
		{server.token("ann.lee@lakeside.example") + "A", "the token is not valid: its signature is not good, or of an algorithm that is not taken"},
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

func TestAServiceAccountIsListedDeactivatedAndReactivatedOnTheCommandLine(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	_, key := server.key("Lab", "--service-account", "lab@partner.example", "--scopes", "contacts:read")
	account := func(arguments ...string) said {
		t.Helper()
		return runs(t, in(server.dir), append([]string{"service-account"}, arguments...)...)
	}

	if got := account("deactivate", "LAB@partner.example"); got.stdout != "lab@partner.example is deactivated, and its keys are revoked.\n" {
		t.Errorf("the deactivation says: %+v", got)
	}
	if got := account("list").stdout; !strings.Contains(got, "lab@partner.example  Lab   DEACTIVATED\n") {
		t.Errorf("the list is\n%s", got)
	}
	for _, arguments := range [][]string{
		{"key", "create", "Lab", "--service-account", "lab@partner.example", "--scopes", "contacts:read"},
		{"documents", "list", "--service-account", "lab@partner.example"},
	} {
		if got := runs(t, in(server.dir), arguments...); got.code != exitFailed || !strings.Contains(got.stderr, "corridor service-account reactivate") {
			t.Errorf("%q ended with %d: %s%s", arguments, got.code, got.stdout, got.stderr)
		}
	}
	if got := account("reactivate", "lab@partner.example"); got.code != 0 || !strings.Contains(got.stdout, "lab@partner.example is in use") {
		t.Errorf("the reactivation says: %+v", got)
	}
	if got := account("list").stdout; !strings.Contains(got, "lab@partner.example  Lab   ACTIVE\n") {
		t.Errorf("the list is\n%s", got)
	}
	if status := server.status(key); status != http.StatusUnauthorized {
		t.Errorf("its old key is answered %d", status)
	}
	if _, again := server.key("Lab", "--service-account", "lab@partner.example", "--scopes", "contacts:read"); server.status(again) != http.StatusOK {
		t.Error("its new key does not work")
	}
	for _, what := range []string{"deactivate", "reactivate"} {
		if got := account(what, ann); got.code != exitFailed || !strings.Contains(got.stderr, "corridor service-account list") {
			t.Errorf("%s of a person ended with %d: %s%s", what, got.code, got.stdout, got.stderr)
		}
	}
}

func TestKeyCreateSaysWhatIsWrongWithTheAccount(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	runsWith(t, header+"ida@east.example,Ida,CSR,Desk\n", settings, "roster", "import", "-", "--clinic", "East")
	creates := func(email string, more ...string) said {
		t.Helper()
		return runs(t, settings, append([]string{"key", "create", "Lab", "--scopes", "contacts:read", "--service-account", email}, more...)...)
	}
	if got := creates("lab@partner.example", "--account-name", "Lab results"); got.code != 0 {
		t.Fatal(got.stderr)
	}

	if got := creates("ida@east.example"); got.code != exitFailed || !strings.Contains(got.stderr, "--service-account: This is the address of a person of the clinic") {
		t.Errorf("a person's address ended with %d: %s", got.code, got.stderr)
	}
	if got := creates("lab@partner.example", "--account-name", "Laboratory"); got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, `--account-name`) || !strings.Contains(got.stderr, `"Lab results"`) {
		t.Errorf("another name ended with %d: %s", got.code, got.stderr)
	}
	if got := creates("lab@partner.example", "--account-name", "Lab results"); got.code != 0 {
		t.Errorf("the same name ended with %d: %s", got.code, got.stderr)
	}
}

func TestTheListSaysWhichKeyReplacesWhich(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	first, _ := server.key("Lab", "--service-account", "lab@partner.example", "--scopes", "contacts:read")
	rotate := []string{"key", "rotate", first}

	rotated := runs(t, in(server.dir), rotate...)
	again := runs(t, in(server.dir), rotate...)

	_, made, _ := strings.Cut(rotated.stderr, "Key ")
	second := strings.Fields(made)[0]
	if again.code != exitFailed || again.stdout != "" || !strings.Contains(again.stderr, "has a successor") {
		t.Errorf("again it ended with %d: %s%s", again.code, again.stdout, again.stderr)
	}
	rows := strings.Split(strings.TrimSpace(runs(t, in(server.dir), "key", "list").stdout), "\n")
	if len(rows) != 3 || !strings.HasSuffix(rows[0], "REPLACES") || !strings.HasPrefix(rows[1], second) || !strings.HasSuffix(rows[1], " "+first) || !strings.HasSuffix(rows[2], " none") {
		t.Errorf("the list is %q", rows)
	}
	runs(t, in(server.dir), "key", "revoke", second)
	if !strings.HasPrefix(rotated.stderr, "The key before stays good for at most 24h") {
		t.Errorf("it says %q of the key before", rotated.stderr)
	}
	if got := runs(t, in(server.dir), rotate...); got.code != 0 {
		t.Errorf("without its successor it ended with %d: %s", got.code, got.stderr)
	}
}

func TestWhoAdministersAClinicIsListed(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	runsWith(t, header+"ida@east.example,Ida,CSR,Desk\nbo@east.example,Bo,CSR,Desk\ncy@east.example,Cy,CSR,Desk\n", settings, "roster", "import", "-", "--clinic", "East")
	for _, arguments := range [][]string{{"ida@east.example"}, {"set", "bo@east.example"}, {"cy@east.example"}, {"cy@east.example", "--remove"}} {
		if got := runs(t, settings, append([]string{"clinic", "administrator"}, arguments...)...); got.code != 0 {
			t.Fatalf("%q: %s", arguments, got.stderr)
		}
	}

	got := runs(t, settings, "clinic", "administrator", "list")

	if want := "EMAIL             NAME  STATE\nbo@east.example   Bo    ACTIVE\nida@east.example  Ida   ACTIVE\n"; got.code != 0 || got.stdout != want {
		t.Errorf("it ended with %d:\n%s%s", got.code, got.stdout, got.stderr)
	}

	// Who has left is dismissed as well, so that a roster that brings them back does not make them an administrator again.
	runsWith(t, header+"ida@east.example,Ida,CSR,Desk\ncy@east.example,Cy,CSR,Desk\n", settings, "roster", "import", "-", "--clinic", "East")
	dismissed := runs(t, settings, "clinic", "administrator", "bo@east.example", "--remove")
	appointed := runs(t, settings, "clinic", "administrator", "bo@east.example")
	got = runs(t, settings, "clinic", "administrator", "list")
	if dismissed.code != 0 || appointed.code != exitFailed || strings.Contains(got.stdout, "bo@") {
		t.Errorf("who has left is dismissed with %d and appointed with %d: %s", dismissed.code, appointed.code, got.stdout)
	}
}

func TestFollowSaysWhatAKeyLacks(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	_, reader := server.key("Directory", "--service-account", "lab@partner.example", "--scopes", "contacts:read")
	_, bound := server.key("Bound", "--service-account", "lab@partner.example", "--scopes", "conversations:read", "--documents-only")
	id, revoked := server.key("Revoked", "--service-account", "lab@partner.example", "--scopes", "conversations:read")
	runs(t, in(server.dir), "key", "revoke", id)
	for key, want := range map[string]string{
		reader:  "the server refused: a key needs the scope conversations:read",
		bound:   "--documents-only",
		revoked: "corridor key list",
	} {
		got := runs(t, nil, "follow", "--token", key, "--url", server.url+"/graphql")

		if got.code != exitFailed || !strings.Contains(got.stderr, want) || strings.Contains(got.stderr, "{") || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("it ended with %d and does not say %q: %s", got.code, want, got.stderr)
		}
	}
}
