package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"corridor/internal/demo"
	"corridor/internal/pgtest"
	"corridor/internal/postgres"
)

const header = "email,name,role,waiting_rooms\n"

func TestATokenIsForOnePersonWhoWorksThere(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL, "CORRIDOR_TOKEN_KEY=" + someKey}
	imports := func(clinic, rows string, flags ...string) {
		t.Helper()
		if got := runsWith(t, header+rows, settings, append([]string{"roster", "import", "-", "--clinic", clinic}, flags...)...); got.code != 0 {
			t.Fatal(got.stderr)
		}
	}
	imports("East", "ida@east.example,Ida,CSR,Desk\nboth@east.example,Bo Both,MA,Desk\ngone@east.example,Gil Gone,MA,Desk\n")
	imports("East", "ida@east.example,Ida,CSR,Desk\nboth@east.example,Bo Both,MA,Desk\n")
	imports("West", "both@east.example,Bo Both,MA,Desk\n", "--new-clinic")

	for _, test := range []struct {
		arguments []string
		code      int
		says      []string
	}{
		{[]string{"--email", "ida@east.example"}, 0, nil},
		{[]string{"--email", " IDA@East.Example "}, 0, nil},
		{[]string{"--email", "both@east.example", "--clinic", "West"}, 0, nil},
		{[]string{"--email", "both@east.example"}, 1, []string{"several clinics", "East", "West", "--clinic"}},
		{[]string{"--email", "gone@east.example"}, 1, []string{"deactivated", "East"}},
		{[]string{"--email", "ida@east.example", "--clinic", "West"}, 1, []string{"Nobody", "West"}},
		{[]string{"--email", "nobody@east.example"}, 1, []string{"Nobody", "nobody@east.example"}},
		{[]string{"--email", strings.Repeat("x", 255)}, 1, []string{"--email: "}},
		{[]string{"--email", " "}, 2, []string{"--email is empty"}},
		{[]string{"--email", "ida@east.example", "--ttl", "721h"}, 2, []string{"--ttl", "30 days"}},
		{[]string{"--email", "ida@east.example", "--ttl", "1ms"}, 2, []string{"--ttl", "1s"}},
	} {
		got := runs(t, settings, append([]string{"token"}, test.arguments...)...)

		if got.code != test.code {
			t.Errorf("token %q ended with %d: %s", test.arguments, got.code, got.stderr)
		}
		isToken := strings.Count(got.stdout, ".") == 2 && strings.Count(got.stdout, "\n") == 1 && !strings.Contains(strings.TrimSpace(got.stdout), " ")
		if isToken != (test.code == 0) || test.code != 0 && got.stdout != "" {
			t.Errorf("token %q prints %q", test.arguments, got.stdout)
		}
		for _, word := range test.says {
			if !strings.Contains(got.stderr, word) {
				t.Errorf("token %q does not say %q: %s", test.arguments, word, got.stderr)
			}
		}
	}
}

func TestABadRosterIsRefusedWithEveryBadRow(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	roster := header +
		"ida@east.example,Ida,CSR,Desk\n" +
		"no address,Jo,CSR,Desk\n" +
		"kim@east.example,,CSR,Desk\n" +
		"IDA@east.example,Ida again,CSR,Desk\n" +
		"lee@east.example,Lee,CSR\n"

	got := runsWith(t, roster, settings, "roster", "import", "-", "--clinic", "East")

	if got.code != exitFailed || got.stdout != "" {
		t.Errorf("it ended with %d: %s", got.code, got.stdout)
	}
	for _, problem := range []string{"line 3: email", "line 4: name", "line 5: the e-mail address stands in line 2", "line 6: it has 3 fields"} {
		if !strings.Contains(got.stderr, problem) {
			t.Errorf("it does not say %q: %s", problem, got.stderr)
		}
	}
	if clinics := runs(t, settings, "clinic", "show").stdout; !strings.Contains(clinics, "There is no clinic yet") {
		t.Errorf("something was applied: %s", clinics)
	}
}

func TestARosterChangesWhatItSaysAndADryRunNothing(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	imports := func(roster string, arguments ...string) string {
		t.Helper()
		got := runsWith(t, header+roster, settings, append([]string{"roster", "import", "-"}, arguments...)...)
		if got.code != 0 {
			t.Fatal(got.stderr)
		}
		if !strings.Contains(got.stderr, "1 of 6") || !strings.Contains(got.stderr, "6 of 6") {
			t.Errorf("there is no progress: %s", got.stderr)
		}
		return got.stdout
	}
	var many strings.Builder
	for i := range 25 {
		fmt.Fprintf(&many, "p%02d@east.example,Person %d,CSR,Desk\n", i, i)
	}

	if got := imports(many.String(), "--clinic", "East", "--dry-run"); !strings.Contains(got, "a new clinic, 25 added") ||
		!strings.Contains(got, "  p19@east.example\n  and 5 more") || strings.Contains(got, "p20@") || !strings.Contains(got, "Nothing was changed.") {
		t.Errorf("the dry run says: %s", got)
	}
	if got := runs(t, settings, "clinic", "show").stdout; !strings.Contains(got, "There is no clinic yet") {
		t.Errorf("the dry run left: %s", got)
	}
	if got := imports(many.String(), "--clinic", "East"); got != "East: a new clinic, 25 added, 1 waiting room added, 25 joined a waiting room.\n" {
		t.Errorf("the import says: %s", got)
	}
	// The only clinic there is needs no name.
	if got := imports(many.String()); got != "East: no changes.\n" {
		t.Errorf("the same import says: %s", got)
	}
	changed := strings.Replace(many.String(), "Person 3,CSR,Desk", "Perry Three,MA,Desk;Lab", 1)
	changed = strings.Replace(changed, "p04@east.example,Person 4,CSR,Desk\n", "", 1)
	for _, arguments := range [][]string{{"--dry-run"}, {"--dry-run"}} {
		got := imports(changed, arguments...)
		for _, want := range []string{
			"this would change: 1 with another name or role, 1 deactivated, 1 waiting room added",
			"with another name or role:\n  p03@east.example\n", "deactivated:\n  p04@east.example\n", "waiting rooms added:\n  Lab\n", "p03@east.example joins Lab\n", "p04@east.example leaves Desk\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("the dry run does not say %q: %s", want, got)
			}
		}
	}
	if got := imports(changed); strings.Contains(got, "p03@") || !strings.HasPrefix(got, "East: 1 with another name") {
		t.Errorf("the change says: %s", got)
	}
	if got := imports(many.String()); !strings.Contains(got, "1 reactivated") || !strings.Contains(got, "1 waiting room closed") {
		t.Errorf("the change back says: %s", got)
	}
}

func TestARosterDoesNotLandInTheWrongClinic(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	refused := func() {
		t.Helper()
		got := runsWith(t, header+"ida@east.example,Ida,CSR,Desk\n", settings, "roster", "import", "-")
		if got.code != exitFailed || !strings.Contains(got.stderr, "--clinic NAME") {
			t.Errorf("it ended with %d: %s%s", got.code, got.stdout, got.stderr)
		}
	}

	refused()
	for _, clinic := range []string{demo.Clinic, "East"} {
		runsWith(t, header+"ida@east.example,Ida,CSR,Desk\n", settings, "roster", "import", "-", "--clinic", clinic)
		refused()
	}

	if got := runs(t, settings, "roster", "import", "/no/such/file", "--clinic", "East"); got.code != exitFailed || !strings.Contains(got.stderr, "/no/such/file") {
		t.Errorf("it ended with %d: %s", got.code, got.stderr)
	}
}

// A wrong file, or a name that was mistyped, does not end the work of a whole clinic.
func TestARosterThatLacksMostPeopleIsTakenForTheWrongFile(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	ending := ",CSR,Desk\n"
	imports := func(people int, arguments ...string) said {
		t.Helper()
		var rows strings.Builder
		for i := range people {
			fmt.Fprintf(&rows, "p%02d@east.example,Person %d%s", i, i, ending)
		}
		return runsWith(t, header+rows.String(), settings, append([]string{"roster", "import", "-", "--clinic", "East"}, arguments...)...)
	}
	if got := imports(0); got.code != exitFailed || !strings.Contains(got.stderr, "nobody in it") {
		t.Errorf("nobody at all: %s%s", got.stdout, got.stderr)
	}
	imports(30)

	for people, deactivated := range map[int]string{14: "of the 30 people of the clinic the roster would deactivate 16", 0: "would deactivate 30"} {
		got := imports(people)
		for _, want := range []string{deactivated, "nothing was applied", "--dry-run", "--allow-deactivations"} {
			if got.code != exitFailed || !strings.Contains(got.stderr, want) {
				t.Errorf("with %d people it ended with %d and does not say %q: %s", people, got.code, want, got.stderr)
			}
		}
		if dry := imports(people, "--dry-run"); dry.code != exitFailed || !strings.Contains(dry.stdout, "deactivated:\n  p") || !strings.Contains(dry.stderr, "refused without --allow-deactivations") {
			t.Errorf("the dry run ended with %d: %s%s", dry.code, dry.stdout, dry.stderr)
		}
	}
	for _, wrong := range []string{",CSR,\n", ",Patient,Desk\n"} { // a column that is not what it was
		ending = wrong
		if got := imports(30); got.code != exitFailed || !strings.Contains(got.stderr, "take them out of all waiting rooms") {
			t.Errorf("everybody with %q: %s%s", wrong, got.stdout, got.stderr)
		}
	}
	ending = ",CSR,Desk\n"
	if got := imports(30, "--dry-run"); got.code != 0 || !strings.Contains(got.stdout, "no changes") {
		t.Errorf("something was applied: %s%s", got.stdout, got.stderr)
	}
	if got := imports(15); got.stdout != "East: 15 deactivated, 15 left a waiting room.\n" {
		t.Errorf("half of them: %s%s", got.stdout, got.stderr)
	}
	if got := imports(4, "--allow-deactivations"); got.stdout != "East: 11 deactivated, 11 left a waiting room.\n" {
		t.Errorf("with leave: %s%s", got.stdout, got.stderr)
	}
	if got := imports(1); got.stdout != "East: 3 deactivated, 3 left a waiting room.\n" {
		t.Errorf("a few of a small clinic: %s%s", got.stdout, got.stderr)
	}
}

func TestAClinicThatIsMistypedIsNotANewOne(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	imports := func(arguments ...string) said {
		t.Helper()
		return runsWith(t, header+"ida@east.example,Ida,CSR,Desk\n", settings, append([]string{"roster", "import", "-"}, arguments...)...)
	}
	for _, first := range []string{demo.Clinic, "East"} {
		if got := imports("--clinic", first); got.code != 0 {
			t.Fatalf("%s is refused: %s", first, got.stderr)
		}
	}

	got := imports("--clinic", "Eest")

	if got.code != exitFailed || !strings.Contains(got.stderr, `no clinic named "Eest": there is `) || !strings.Contains(got.stderr, "--new-clinic") {
		t.Errorf("it ended with %d: %s", got.code, got.stderr)
	}
	if got := imports("--clinic", "East", "--new-clinic"); got.code != exitFailed || !strings.Contains(got.stderr, "already") {
		t.Errorf("of one that there is it ended with %d: %s%s", got.code, got.stdout, got.stderr)
	}
	if got := imports(); got.code != exitFailed || !strings.Contains(got.stderr, "East") {
		t.Errorf("without a name it ended with %d: %s%s", got.code, got.stdout, got.stderr)
	}
	if got := imports("--clinic", "West", "--new-clinic"); got.code != 0 || !strings.Contains(got.stdout, "West: a new clinic") {
		t.Errorf("with leave it ended with %d: %s", got.code, got.stderr)
	}
}

func TestAFailureToStartNamesTheSettingAndWhatToDo(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, nil)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	otherwise := func(change func(*url.URL)) string {
		other := *at
		change(&other)
		return other.String()
	}
	db, err := postgres.Open(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.MustExec(`CREATE ROLE guest LOGIN`)
	db.MustExec(`CREATE DATABASE strange`)
	foreign := emptyDir(t)
	if err := os.MkdirAll(filepath.Join(foreign, "pgdata", "letters"), 0o711); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		settings []string
		says     []string
	}{
		"nobody answers":   {[]string{"DATABASE_URL=postgres://u:mellon@127.0.0.1:1/x"}, []string{"DATABASE_URL", "no PostgreSQL answers at 127.0.0.1:1"}},
		"no such host":     {[]string{"DATABASE_URL=postgres://u:mellon@nobody.invalid/x"}, []string{"DATABASE_URL", "no host nobody.invalid"}},
		"no such database": {[]string{"DATABASE_URL=" + otherwise(func(u *url.URL) { u.Path = "/nothing" })}, []string{"DATABASE_URL", "no database nothing", "createdb"}},
		"no such user":     {[]string{"DATABASE_URL=" + otherwise(func(u *url.URL) { u.User = url.UserPassword("nobody", "mellon") })}, []string{"DATABASE_URL", `does not let us in (role "nobody" does not exist)`}},
		"a guest":          {[]string{"DATABASE_URL=" + otherwise(func(u *url.URL) { u.User, u.Path = url.User("guest"), "/strange" })}, []string{"DATABASE_URL", "make it the owner"}},
		"a wrong password": {
			[]string{"DATABASE_URL=postgres://u:mellon@" + answers(t, "E\x00\x00\x00\x16C28P01\x00Mbad word\x00\x00") + "/x"},
			[]string{"DATABASE_URL", "does not let us in (bad word)"},
		},
		"no TLS":       {[]string{"DATABASE_URL=postgres://u:mellon@" + answers(t, "N") + "/x?sslmode=require"}, []string{"DATABASE_URL", "has no TLS", "sslmode=disable"}},
		"silence":      {[]string{"DATABASE_URL=postgres://u:mellon@" + answers(t, "") + "/x?connect_timeout=1"}, []string{"DATABASE_URL", "in time"}},
		"no directory": {[]string{"CORRIDOR_DATA_DIR=/proc/corridor"}, []string{"CORRIDOR_DATA_DIR", "/proc/corridor"}},
		"other files":  {[]string{"CORRIDOR_DATA_DIR=" + foreign}, []string{"CORRIDOR_DATA_DIR", "choose another directory"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got := runs(t, append(test.settings, "CORRIDOR_TOKEN_KEY="+someKey, "CORRIDOR_LISTEN=127.0.0.1:0"))

			if got.code != exitFailed || strings.Contains(got.stderr, "mellon") || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("it ended with %d: %s", got.code, got.stderr)
			}
			for _, word := range test.says {
				if !strings.Contains(got.stderr, word) {
					t.Errorf("it does not say %q: %s", word, got.stderr)
				}
			}
		})
	}
}

func TestADataDirectoryOfAnotherUserIsLeftToThem(t *testing.T) {
	t.Parallel()
	dir := emptyDir(t)
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{nil, {"clinic", "show"}} {
		command := exec.CommandContext(t.Context(), binary, arguments...)
		command.Env = environment("CORRIDOR_DATA_DIR="+dir, "CORRIDOR_LISTEN=127.0.0.1:0")
		if os.Geteuid() == 0 {
			command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}

		said, err := command.CombinedOutput()

		if err == nil || !strings.Contains(string(said), "another user's: choose another directory with CORRIDOR_DATA_DIR") {
			t.Errorf("%q ended with %v: %s", arguments, err, said)
		}
	}
}

func TestFollowWaitsForAServerThatIsStarting(t *testing.T) {
	t.Parallel()
	statuses := make(chan int, 2)
	statuses <- http.StatusServiceUnavailable
	statuses <- http.StatusNotFound
	starting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-statuses) }))
	defer starting.Close()

	got := runs(t, nil, "follow", "--token", "x", "--url", starting.URL)

	if got.code != exitFailed || !strings.Contains(got.stderr, "trying again") || !strings.Contains(got.stderr, "404") {
		t.Errorf("it ended with %d: %s", got.code, got.stderr)
	}
}

func TestFollowSaysAtOnceThatNobodyAnswers(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]struct {
		code int
		says string
	}{
		"http://127.0.0.1:1/graphql": {exitFailed, "nobody answers at http://127.0.0.1:1/graphql"},
		"127.0.0.1:8080":             {exitUsage, "--url"},
		"ftp://127.0.0.1/graphql":    {exitUsage, "--url"},
	} {
		if got := runs(t, nil, "follow", "--token", "x", "--url", address); got.code != want.code || !strings.Contains(got.stderr, want.says) {
			t.Errorf("%s ended with %d: %s", address, got.code, got.stderr)
		}
	}
}

func TestAClinicDecidesOneThingAtATime(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	runsWith(t, header+"ida@east.example,Ida,CSR,Desk\n", settings, "roster", "import", "-", "--clinic", "East")
	before := runs(t, settings, "clinic", "show", "East").stdout

	got := runs(t, settings, "clinic", "set", "East", "--group-size-limit", "40", "--rename-group", "any-participant", "--legal-hold")

	want := strings.NewReplacer("limit     250", "limit     40", "OWNER_ONLY", "ANY_PARTICIPANT", "legal-hold           false", "legal-hold           true").Replace(before)
	if got.code != 0 || got.stdout != want || runs(t, settings, "clinic", "show").stdout != want {
		t.Errorf("it ended with %d:\n%s%s", got.code, got.stdout, got.stderr)
	}
	if got := runs(t, settings, "clinic", "set", "East", "--no-legal-hold"); !strings.Contains(got.stdout, "legal-hold           false") {
		t.Errorf("the hold stays: %s%s", got.stdout, got.stderr)
	}
	for _, test := range []struct {
		arguments []string
		says      string
	}{
		{[]string{"set", "East", "--group-size-limit", "1"}, "--group-size-limit: A group holds from 2 to 1000 people."},
		{[]string{"set", "East", "--manage-participants", "nobody"}, "--manage-participants: The value is ANY_PARTICIPANT or OWNER_ONLY."},
		{[]string{"set", "Eest", "--legal-hold"}, `no clinic named "Eest": there is East`},
		{[]string{"show", "Eest"}, `no clinic named "Eest": there is East`},
	} {
		got := runs(t, settings, append([]string{"clinic"}, test.arguments...)...)
		if got.code != exitFailed || !strings.Contains(got.stderr, test.says) {
			t.Errorf("clinic %q ended with %d: %s", test.arguments, got.code, got.stderr)
		}
	}
}

func TestADatabaseOfOnesOwnIsOnlyMigratedWhenAskedTo(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.NewEmpty(t).URL, "CORRIDOR_TOKEN_KEY=" + someKey}

	if got := runs(t, settings, "clinic", "show"); got.code != exitFailed || !strings.Contains(got.stderr, "corridor migrate") {
		t.Errorf("it ended with %d: %s", got.code, got.stderr)
	}
	if got := runs(t, settings, "migrate"); got.code != 0 || !strings.Contains(got.stdout, "migrated 0001_") {
		t.Errorf("it ended with %d: %s%s", got.code, got.stdout, got.stderr)
	}
	if got := runs(t, settings, "migrate"); got.code != 0 || got.stdout != "nothing to do: the database is up to date\n" {
		t.Errorf("again it ended with %d: %s%s", got.code, got.stdout, got.stderr)
	}
	if got := runs(t, settings, "clinic", "show"); got.code != 0 || !strings.Contains(got.stdout, "There is no clinic yet") {
		t.Errorf("it ended with %d: %s", got.code, got.stderr)
	}
}

func TestADatabaseOfOnesOwnGetsADemoClinicOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL, "CORRIDOR_TOKEN_KEY=" + someKey}
	dir := emptyDir(t)

	starts(t, dir, settings...)
	if got := runs(t, settings, "clinic", "show").stdout; !strings.Contains(got, "There is no clinic yet") {
		t.Errorf("there is one: %s", got)
	}
	starts(t, dir, append(settings, "CORRIDOR_DEMO=true")...)
	if got := runs(t, settings, "clinic", "show").stdout; !strings.Contains(got, demo.Clinic) {
		t.Errorf("there is none: %s", got)
	}
}

func TestAKeyIsMadeListedRotatedAndRevokedOnTheCommandLine(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	made := runs(t, in(server.dir), "key", "create", "Lab", "--service-account", "lab@partner.example", "--scopes", "contacts:read,conversations:read", "--networks", "127.0.0.0/8", "--expires", "24h")
	if made.code != 0 || strings.Count(made.stdout, "\n") != 1 || !strings.HasPrefix(made.stdout, "corridor_") {
		t.Fatalf("the key was not made: %+v", made)
	}
	whoAmI := func(key string) (name string) {
		var seen struct{ Viewer struct{ Name string } }
		server.asks(key, `{ viewer { name } }`, nil, &seen)
		return seen.Viewer.Name
	}
	first := strings.TrimSpace(made.stdout)
	if got := whoAmI(first); got != "Lab" {
		t.Errorf("the key acts as %q", got)
	}
	listed := runs(t, in(server.dir), "key", "list").stdout
	if !strings.Contains(listed, "contacts:read,conversations:read") || !strings.Contains(listed, "ACTIVE") || strings.Contains(listed, first[20:]) {
		t.Errorf("the list is\n%s", listed)
	}
	id := strings.Fields(strings.Split(listed, "\n")[1])[0]

	rotated := runs(t, in(server.dir), "key", "rotate", id, "--overlap", "1h")
	for _, key := range []string{first, strings.TrimSpace(rotated.stdout)} {
		if got := whoAmI(key); got != "Lab" {
			t.Errorf("after the rotation a key acts as %q", got)
		}
	}
	revoked := runs(t, in(server.dir), "key", "revoke", id)
	if revoked.code != 0 || !strings.Contains(runs(t, in(server.dir), "key", "list").stdout, "REVOKED") {
		t.Errorf("the key was not revoked: %+v", revoked)
	}
	for what, got := range map[string]said{
		"an unknown scope":   runs(t, in(server.dir), "key", "create", "Lab", "--service-account", "lab@partner.example", "--scopes", "everything"),
		"no id":              runs(t, in(server.dir), "key", "revoke", "lab"),
		"a key that ended":   runs(t, in(server.dir), "key", "rotate", id),
		"an unknown clinic":  runs(t, in(server.dir), "key", "list", "--clinic", "Hillside"),
		"a person's address": runs(t, in(server.dir), "key", "create", "Lab", "--service-account", "ann.lee@lakeside.example", "--scopes", "contacts:read"),
	} {
		if got.code == 0 || got.stderr == "" || strings.Contains(got.stdout, "corridor_") {
			t.Errorf("%s: %+v", what, got)
		}
	}
}
