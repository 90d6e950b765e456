package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/jmoiron/sqlx"

	"corridor/graph"
	"corridor/internal/chat"
	"corridor/internal/demo"
	"corridor/internal/pgtest"
	"corridor/internal/postgres"
	"corridor/internal/s3test"
	"corridor/web"
)

func TestTheFirstStartMakesADemoClinicAndTheSecondDoesNot(t *testing.T) {
	t.Parallel()
	dir := emptyDir(t)

	server := starts(t, dir)

	before := server.overview(server.token(ann))
	if before.Viewer.Name != "Ann Lee" || len(before.Viewer.Conversations.Nodes) < 5 {
		t.Errorf("Ann finds %+v", before)
	}
	if code := server.ends(os.Interrupt); code != 0 {
		t.Errorf("it ended with %d", code)
	}

	server = starts(t, dir)

	if after := server.overview(server.token(ann)); !reflect.DeepEqual(before, after) {
		t.Errorf("Ann found %+v, and now %+v", before, after)
	}
	if strings.Contains(server.output.String(), "demo") {
		t.Error("it says that it makes the demo clinic again")
	}
}

func TestAnInterruptedDemoIsFinished(t *testing.T) {
	t.Parallel()
	dir := demoDir(t)
	server := starts(t, dir)
	whole := server.overview(server.token(ann))
	server.ends(syscall.SIGTERM)
	if err := os.WriteFile(filepath.Join(dir, "demo.unfinished"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	server = starts(t, dir)

	if after := server.overview(server.token(ann)); !reflect.DeepEqual(whole, after) {
		t.Errorf("Ann found %+v, and now %+v", whole, after)
	}
	if _, err := os.Stat(filepath.Join(dir, "demo.unfinished")); err == nil {
		t.Error("it is still unfinished")
	}
}

func TestSIGTERMEndsEverythingAndTokensOutliveIt(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	token := server.token(ann)
	postgres := postmaster(t, server.dir)

	code := server.ends(syscall.SIGTERM)

	if code != 0 {
		t.Errorf("it ended with %d", code)
	}
	if err := syscall.Kill(postgres, 0); err == nil {
		t.Error("PostgreSQL goes on")
	}
	if key, err := os.Stat(filepath.Join(server.dir, "token.key")); err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("the key is not for its owner alone: %v, %v", key, err)
	}
	if got := starts(t, server.dir).overview(token).Viewer.Name; got != "Ann Lee" {
		t.Errorf("the token of the first server is of %q for the second", got)
	}
}

func TestAKilledServerStartsAgainAtOnceWithEverythingItAcknowledged(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	token := server.token(ann)
	server.sends(token, "this is acknowledged")

	server.ends(syscall.SIGKILL)

	server = starts(t, server.dir)
	if got := server.overview(token).Viewer.Conversations.Nodes[0].LastMessage.Text; got != "this is acknowledged" {
		t.Errorf("the last message is %q", got)
	}
}

func TestStoppingSendsSocketsElsewhereAndLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	socket := server.follows(server.token(ann))
	request := hangs(t, server)

	server.signal(syscall.SIGTERM)

	eventually(t, "it stops", func() bool { return strings.Contains(server.output.String(), `"stopping"`) })
	if _, err := io.WriteString(request, halfAsked); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(request)
	if err != nil || !strings.Contains(string(answer), "Ann Lee") {
		t.Errorf("the request is answered with %s, %v", answer, err)
	}
	if got := closes(t, socket); got != websocket.StatusServiceRestart {
		t.Errorf("the socket was closed with %d", got)
	}
	select {
	case <-server.ended:
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	if code := server.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

func TestStoppingTakesNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t), "CORRIDOR_DRAIN_TIME=3s")
	hangs(t, server)
	began := time.Now()

	code := server.ends(syscall.SIGTERM)

	if took := time.Since(began); took > 4500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	if code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t), "CORRIDOR_DRAIN_TIME=10m")
	hangs(t, server)
	server.signal(os.Interrupt)
	eventually(t, "it stops", func() bool { return strings.Contains(server.output.String(), `"stopping"`) })

	eventually(t, "it ends", func() bool {
		_ = server.command.Process.Signal(os.Interrupt)
		select {
		case <-server.ended:
			return true
		default:
			return false
		}
	})

	if got := starts(t, server.dir).overview(server.token(maria)).Viewer.Name; got != "María Álvarez" {
		t.Errorf("María is %q", got)
	}
}

const halfAsked = `{"query":"{ viewer { name } }"}`

// hangs sends half a request: halfAsked is the other half.
func hangs(t *testing.T, server *process) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
		"Authorization: Bearer %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", server.token(ann), len(halfAsked))
	if err != nil {
		t.Fatal(err)
	}
	// The server asks for the other half once the request is under way.
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestAServerBringsItsDatabaseBack(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	token := server.token(ann)

	former := postmaster(t, server.dir)
	if err := syscall.Kill(former, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}

	eventually(t, "PostgreSQL is missed", func() bool { return strings.Contains(server.output.String(), "PostgreSQL has ended") })
	server.hasDatabaseAgain(former)
	server.sends(token, "and on it goes")
}

func TestAServerTakesOverTheDatabaseOfAnother(t *testing.T) {
	t.Parallel()
	one := starts(t, demoDir(t))
	two := starts(t, one.dir)
	token := two.token(ann)

	former := postmaster(t, two.dir)

	one.ends(syscall.SIGTERM)

	two.hasDatabaseAgain(former)
	two.sends(token, "nobody noticed")
	if code := two.ends(syscall.SIGTERM); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

func TestReadinessSaysInAWordWhatIsWrong(t *testing.T) {
	t.Parallel()
	database := pgtest.NewServer(t, nil)
	running := starts(t, emptyDir(t), "DATABASE_URL="+database.URL, "CORRIDOR_TOKEN_KEY="+someKey)
	db, err := postgres.Open(t.Context(), database.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	wants := func(wantStatus int, wantBody string) {
		t.Helper()
		if status, body := running.gets("/readyz"); status != wantStatus || strings.TrimSpace(body) != wantBody {
			t.Errorf("it says %d %q and not %d %q", status, body, wantStatus, wantBody)
		}
	}

	wants(http.StatusOK, "ready")
	db.MustExec(`UPDATE goose_db_version SET is_applied = false WHERE version_id = 2`)
	wants(http.StatusServiceUnavailable, "migrations")
	database.Stop()
	wants(http.StatusServiceUnavailable, "database")

	if status, body := running.gets("/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("its health is %d %q", status, body)
	}
	for moment, s := range map[string]*server{"starting": {}, "draining": draining()} {
		answer := httptest.NewRecorder()
		s.routes().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if answer.Code != http.StatusServiceUnavailable || strings.TrimSpace(answer.Body.String()) != moment {
			t.Errorf("%s it says %d %q", moment, answer.Code, answer.Body)
		}
		answer = httptest.NewRecorder()
		s.routes().ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/graphql", nil))
		if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
			t.Errorf("%s the API says %d", moment, answer.Code)
		}
	}
}

func TestReadinessDoesNotWaitForASilentDatabase(t *testing.T) {
	t.Parallel()
	connector, err := postgres.Connector("postgres://" + answers(t, "") + "/x?connect_timeout=0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{database: &database{DB: sqlx.NewDb(sql.OpenDB(connector), "postgres")}}
	s.api.Store(&graph.Handler{})
	answer := httptest.NewRecorder()

	s.routes().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))

	if answer.Code != http.StatusServiceUnavailable || strings.TrimSpace(answer.Body.String()) != "database" {
		t.Errorf("it says %d %q", answer.Code, answer.Body)
	}
}

// It is built as make does it: for tests it may have the race detector in it.
func TestTheProgramIsSmall(t *testing.T) {
	t.Parallel()
	const most = 40_000_000 // with the web client, and without PostgreSQL
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^build_flags := (.*)$`).FindSubmatch(makefile)
	if flags == nil {
		t.Fatal("the Makefile does not say how it is built")
	}
	program := filepath.Join(t.TempDir(), "corridor")
	if said, err := exec.Command("go", slices.Concat([]string{"build", "-o", program}, strings.Fields(string(flags[1])), []string{"."})...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}

	info, err := os.Stat(program)

	if err != nil || info.Size() > most {
		t.Errorf("it has %d bytes, and may have %d (%v)", info.Size(), most, err)
	}
}

func TestTheWelcomeCanBePasted(t *testing.T) {
	t.Parallel()
	for url, needs := range map[string]string{"": "In another terminal, as", "postgres://localhost/x": "with DATABASE_URL and CORRIDOR_TOKEN_KEY set as here, as"} {
		var said bytes.Buffer
		wanted := true
		settings := &serveCommand{serverSettings: serverSettings{Demo: &wanted}, databaseSettings: databaseSettings{DatabaseURL: url, DataDir: defaultDataDir()}}
		s := &server{settings: settings, stdout: &said, address: &net.TCPAddr{IP: net.IPv6loopback, Port: 8080}}

		s.welcome([]chat.Clinic{{Name: demo.Clinic}})

		chat, api := "at http://[::1]:8080/ and the explorer of the API at http://[::1]:8080/explorer\n", "Corridor answers at http://[::1]:8080/graphql (Ctrl-C stops it).\n"
		if !web.Included() {
			chat = "not in this program: make run builds them in"
		}
		if before, _, ok := strings.Cut(said.String(), api); !ok || !strings.Contains(before, chat) {
			t.Errorf("with %q it says first: %s", url, said.String())
		}
		if want := "\n  TOKEN=$(" + os.Args[0] + " token --email " + ann + ")\n  curl "; !strings.Contains(said.String(), want) || !strings.Contains(said.String(), needs) {
			t.Errorf("with %q it says: %s", url, said.String())
		}
		said.Reset()
		s.welcome(nil)
		if want := "There is no clinic yet."; !strings.Contains(said.String(), want) || !strings.Contains(said.String(), "roster import FILE --clinic NAME") {
			t.Errorf("without a clinic it says: %s", said.String())
		}
	}
}

// A page may follow the redirects of downloads, so it is not served until it is known where they lead.
func TestWhereDownloadsAreRedirectedToIsKnownWhenABucketIsOpen(t *testing.T) {
	t.Parallel()
	for place, wantKnown := range map[string]bool{"/srv/files": true, "s3://files": false} {
		s := &server{settings: &serveCommand{fileSettings: fileSettings{Files: place}}}
		if origin, known := s.storeOrigin(); origin != "" || known != wantKnown {
			t.Errorf("with %s it is %q, %v", place, origin, known)
		}
	}
	bucket := s3test.Server(t)
	server := starts(t, demoDir(t), append(bucket.Environment(), "CORRIDOR_FILES="+bucket.Location)...)
	_, origin, _ := strings.Cut(bucket.Location, "endpoint=")
	origin, _, _ = strings.Cut(origin, "&")
	origin, err := url.QueryUnescape(origin)
	if err != nil {
		t.Fatal(err)
	}

	response, err := http.Get(server.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()

	if policy := response.Header.Get("Content-Security-Policy"); web.Included() && !strings.Contains(policy, "connect-src 'self' "+origin+";") {
		t.Errorf("with files at %s the policy is %s", origin, policy)
	}
}

func draining() *server {
	s := &server{}
	s.draining.Store(true)
	return s
}

func TestUnknownAddressesAreAnsweredAsTheAPIDoes(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/graphql/", "/healthz/x", "/..%2f", "/assets/", "/.gitkeep"} {
		answer := httptest.NewRecorder()
		(&server{}).routes().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))

		if answer.Code != http.StatusNotFound || !strings.Contains(answer.Body.String(), `"code":"NOT_FOUND"`) {
			t.Errorf("%s is answered with %d %s", path, answer.Code, answer.Body)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		} {
			if got := answer.Header().Get(name); got != want {
				t.Errorf("%s has %s: %q", path, name, got)
			}
		}
	}
}

const someKey = "an invented key, long enough to sign with"

func TestWrongSettingsAreRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		settings  []string
		arguments []string
		says      []string
	}{
		"a listen address without port": {settings: []string{"CORRIDOR_LISTEN=localhost"}, says: []string{"CORRIDOR_LISTEN", "127.0.0.1:8080"}},
		"a port that is none":           {settings: []string{"CORRIDOR_LISTEN=:99999"}, says: []string{"CORRIDOR_LISTEN", "host and a port"}},
		"a listen address as a flag":    {arguments: []string{"--listen", "nowhere"}, says: []string{"--listen", `"nowhere"`}},
		"a log level":                   {settings: []string{"CORRIDOR_LOG_LEVEL=loud"}, says: []string{"CORRIDOR_LOG_LEVEL", "debug, info, warn or error"}},
		"a time":                        {settings: []string{"CORRIDOR_DRAIN_TIME=soon"}, says: []string{"CORRIDOR_DRAIN_TIME", "duration"}},
		"too short a time":              {settings: []string{"CORRIDOR_DRAIN_TIME=1ms"}, says: []string{"CORRIDOR_DRAIN_TIME", "1s to 10m"}},
		"a yes or no":                   {settings: []string{"CORRIDOR_DEMO=perhaps"}, says: []string{"CORRIDOR_DEMO", "true"}},
		"an origin with a path":         {settings: []string{"CORRIDOR_ORIGINS=https://a.example,https://b.example/"}, says: []string{"CORRIDOR_ORIGINS", `"https://b.example/"`}},
		"a pattern that is none":        {settings: []string{"CORRIDOR_ORIGINS=https://[a.example"}, says: []string{"CORRIDOR_ORIGINS"}},
		"a file as directory":           {settings: []string{"CORRIDOR_DATA_DIR=" + file}, says: []string{"CORRIDOR_DATA_DIR", "directory"}},
		"a short key":                   {settings: []string{"CORRIDOR_TOKEN_KEY=mellon-mellon"}, says: []string{"CORRIDOR_TOKEN_KEY", "openssl rand -base64 48"}},
		"no NATS address":               {settings: []string{"CORRIDOR_NATS_URL=nats://a:mellon-mellon@h:4222,b"}, says: []string{"CORRIDOR_NATS_URL", "nats://two.example:4222"}},
		"a proxy":                       {settings: []string{"CORRIDOR_TRUSTED_PROXIES=10.0.0.0/8,proxy.example"}, says: []string{"CORRIDOR_TRUSTED_PROXIES", `"proxy.example"`, "10.0.0.0/8"}},
		"a webhook network":             {settings: []string{"CORRIDOR_WEBHOOK_NETWORKS=10.0.0.0/8, office"}, says: []string{"CORRIDOR_WEBHOOK_NETWORKS", `"office"`, "10.0.0.0/8"}},
		"profiles for everybody":        {settings: []string{"CORRIDOR_OPERATIONS_LISTEN=:6060"}, says: []string{"CORRIDOR_OPERATIONS_LISTEN", `":6060"`, "127.0.0.1:6060", "ssh -L"}},
		"profiles for the network":      {settings: []string{"CORRIDOR_OPERATIONS_LISTEN=10.1.2.3:6060"}, says: []string{"CORRIDOR_OPERATIONS_LISTEN", "10.1.2.3:6060", "unix:///run/corridor/operations.sock"}},
		"profiles at no port":           {arguments: []string{"--operations-listen", "localhost"}, says: []string{"--operations-listen", `"localhost"`, "127.0.0.1:6060"}},
		"profiles at a relative path":   {settings: []string{"CORRIDOR_OPERATIONS_LISTEN=unix://operations.sock"}, says: []string{"CORRIDOR_OPERATIONS_LISTEN", "unix:///run/corridor/operations.sock"}},
		"a replica URL that is none": {
			settings: []string{"DATABASE_URL=postgres://localhost/x", "CORRIDOR_TOKEN_KEY=" + someKey, "CORRIDOR_REPLICA_URL=mysql://user:mellon-mellon@host/x"},
			says:     []string{"CORRIDOR_REPLICA_URL", "postgres://user:password@host:5432/name"},
		},
		"a replica of our own database": {settings: []string{"CORRIDOR_REPLICA_URL=postgres://user:mellon-mellon@host/x"}, says: []string{"CORRIDOR_REPLICA_URL", "DATABASE_URL"}},
		"an origin without scheme":      {settings: []string{"CORRIDOR_ORIGINS=chat.example.org"}, says: []string{"CORRIDOR_ORIGINS", "https://chat.example.org"}},
		"a database without key":        {settings: []string{"DATABASE_URL=postgres://localhost/x"}, says: []string{"CORRIDOR_TOKEN_KEY", "openssl rand -base64 48"}},
		"a database URL that is none": {
			settings: []string{"DATABASE_URL=mysql://user:mellon-mellon@host/x", "CORRIDOR_TOKEN_KEY=" + someKey},
			says:     []string{"DATABASE_URL", "postgres://user:password@host:5432/name"},
		},
		"a file for files":            {settings: []string{"CORRIDOR_FILES=" + file}, says: []string{"CORRIDOR_FILES", "directory"}},
		"S3 with its keys in the URL": {settings: []string{"CORRIDOR_FILES=s3://key:mellon-mellon@bucket/x"}, says: []string{"CORRIDOR_FILES", "AWS_ACCESS_KEY_ID"}},
		"S3 without a bucket":         {settings: []string{"CORRIDOR_FILES=s3:///x"}, says: []string{"CORRIDOR_FILES", "bucket"}},
		"S3 with another setting":     {settings: []string{"CORRIDOR_FILES=s3://bucket/?retion=x"}, says: []string{"CORRIDOR_FILES", "retion"}},
		"files of no size":            {settings: []string{"CORRIDOR_FILE_SIZE=0"}, says: []string{"CORRIDOR_FILE_SIZE", "1 to 500"}},
		"a budget of one point":       {settings: []string{"CORRIDOR_PERSON_BUDGET=1"}, says: []string{"CORRIDOR_PERSON_BUDGET", "250 to 1000000000", "or 0"}},
		"a budget below nothing":      {settings: []string{"CORRIDOR_KEY_BUDGET=-1"}, says: []string{"CORRIDOR_KEY_BUDGET", "250 to 1000000000", "or 0"}},
		"files of no type":            {settings: []string{"CORRIDOR_FILE_TYPES=image/jpeg,application/x-nonsense"}, says: []string{"CORRIDOR_FILE_TYPES", "application/x-nonsense", "application/pdf"}},
		"ClamAV nowhere":              {settings: []string{"CORRIDOR_CLAMAV=clamav.example"}, says: []string{"CORRIDOR_CLAMAV", "tcp://127.0.0.1:3310"}},
		"an issuer by plain HTTP":     {settings: []string{"CORRIDOR_OIDC_ISSUER=http://sign-in.example.org", "CORRIDOR_OIDC_AUDIENCE=corridor"}, says: []string{"CORRIDOR_OIDC_ISSUER", "https"}},
		"an issuer with a query":      {settings: []string{"CORRIDOR_OIDC_ISSUER=https://sign-in.example.org/?a=b", "CORRIDOR_OIDC_AUDIENCE=corridor"}, says: []string{"CORRIDOR_OIDC_ISSUER", "without a query"}},
		"an issuer for everybody":     {settings: []string{"CORRIDOR_OIDC_ISSUER=https://sign-in.example.org"}, says: []string{"CORRIDOR_OIDC_AUDIENCE"}},
		"an audience of no issuer":    {settings: []string{"CORRIDOR_OIDC_AUDIENCE=corridor"}, says: []string{"CORRIDOR_OIDC_AUDIENCE", "CORRIDOR_OIDC_ISSUER"}},
		"an algorithm with a secret":  {settings: []string{"CORRIDOR_OIDC_ISSUER=https://sign-in.example.org", "CORRIDOR_OIDC_AUDIENCE=corridor", "CORRIDOR_OIDC_ALGORITHMS=RS256,HS256"}, says: []string{"CORRIDOR_OIDC_ALGORITHMS", `"HS256"`}},
		"proofs of no value":          {settings: []string{"CORRIDOR_OIDC_ISSUER=https://sign-in.example.org", "CORRIDOR_OIDC_AUDIENCE=corridor", "CORRIDOR_OIDC_MFA=amr"}, says: []string{"CORRIDOR_OIDC_MFA", "amr=mfa"}},
		"sessions of nobody":          {arguments: []string{"session", "end"}, says: []string{"--email"}},
		"a token for a moment":        {arguments: []string{"token", "--email", ann, "--ttl", "1ms"}, says: []string{"--ttl"}},
		"a token for nobody":          {arguments: []string{"token"}, says: []string{"--email"}},
		"an unknown flag":             {arguments: []string{"--lissten", ":1"}, says: []string{"--lissten", "--help"}},
		"an unknown command":          {arguments: []string{"surf"}, says: []string{"surf", "--help"}},
		"a number that is none":       {arguments: []string{"clinic", "set", "East", "--group-size-limit", "many"}, says: []string{"--group-size-limit", "corridor clinic set --help"}},
		"nothing to set":              {arguments: []string{"clinic", "set", "Lakeside Clinic"}, says: []string{"nothing to set", "--help"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := emptyDir(t)

			got := runs(t, append([]string{"CORRIDOR_DATA_DIR=" + dir}, test.settings...), test.arguments...)

			if got.code != exitUsage {
				t.Errorf("it ended with %d", got.code)
			}
			if strings.Count(got.stderr, "\n") != 1 || strings.Contains(got.stderr, "goroutine") || got.stdout != "" {
				t.Errorf("it is no one line: %s%s", got.stderr, got.stdout)
			}
			for _, word := range test.says {
				if !strings.Contains(got.stderr, word) {
					t.Errorf("it does not say %q: %s", word, got.stderr)
				}
			}
			if strings.Contains(got.stderr, "mellon") {
				t.Errorf("it gives a secret away: %s", got.stderr)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("it began something")
			}
		})
	}
}

func TestAnAddressThatIsTakenIsNamedBeforeAnythingBegins(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := emptyDir(t)

	got := runs(t, append(in(dir), "CORRIDOR_LISTEN="+listener.Addr().String()))

	if got.code != exitFailed || !strings.Contains(got.stderr, listener.Addr().String()) || !strings.Contains(got.stderr, "CORRIDOR_LISTEN") {
		t.Errorf("it ended with %d: %s", got.code, got.stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it began something")
	}
}

func TestEmptyVariablesAreNotSet(t *testing.T) {
	t.Parallel()

	got := runs(t, []string{"DATABASE_URL=", "CORRIDOR_TOKEN_KEY=", "CORRIDOR_DEMO=", "CORRIDOR_DATA_DIR=" + emptyDir(t)}, "clinic", "show")

	if got.code != exitFailed || !strings.Contains(got.stderr, "there is no database") {
		t.Errorf("it ended with %d: %s", got.code, got.stderr)
	}
}

func TestHelpTellsOfEveryFlag(t *testing.T) {
	t.Parallel()
	database := []string{"--database-url", "$DATABASE_URL", "--data-dir", "$CORRIDOR_DATA_DIR"}
	for command, words := range map[string][]string{
		"": {"serve", "token", "roster import", "clinic show", "clinic set", "clinic administrator set", "clinic administrator list", "service-account list", "service-account deactivate", "service-account reactivate", "key create", "key list", "key rotate", "key revoke", "documents upload", "session end", "schema", "migrate", "follow"},
		"serve": append(database, "--listen", "$CORRIDOR_LISTEN", "--token-key", "$CORRIDOR_TOKEN_KEY", "--origins", "$CORRIDOR_ORIGINS", "--trusted-proxies", "$CORRIDOR_TRUSTED_PROXIES",
			"--files", "$CORRIDOR_FILES", "--file-size", "$CORRIDOR_FILE_SIZE", "--file-types", "$CORRIDOR_FILE_TYPES", "--clamav", "$CORRIDOR_CLAMAV",
			"--new-files", "$CORRIDOR_NEW_FILES", "--person-budget", "$CORRIDOR_PERSON_BUDGET", "--key-budget", "$CORRIDOR_KEY_BUDGET", "--log-level", "$CORRIDOR_LOG_LEVEL", "--drain-time", "$CORRIDOR_DRAIN_TIME", "--operations-listen", "$CORRIDOR_OPERATIONS_LISTEN", "demo", "$CORRIDOR_DEMO",
			"--oidc-issuer", "$CORRIDOR_OIDC_ISSUER", "--oidc-audience", "$CORRIDOR_OIDC_AUDIENCE", "--oidc-person-claim", "$CORRIDOR_OIDC_PERSON_CLAIM",
			"--oidc-clinic-claim", "$CORRIDOR_OIDC_CLINIC_CLAIM", "--oidc-mfa", "$CORRIDOR_OIDC_MFA", "--oidc-algorithms", "$CORRIDOR_OIDC_ALGORITHMS"),
		"token":         append(database, "--email", "--clinic", "--ttl", "12h", "--token-key"),
		"roster import": append(database, "email,name,role,waiting_rooms", "--clinic", "--dry-run"),
		"clinic show":   database,
		"clinic set": append(database, "--manage-participants", "--rename-group", "history-choice", "strict-direct", "remove-on-room-exit",
			"keep-archived", "--group-size-limit", "--retention-days", "legal-hold", "--file-quota", "--support-contact"),
		"clinic administrator set":   append(database, "--clinic", "--remove"),
		"clinic administrator list":  append(database, "--clinic"),
		"service-account reactivate": append(database, "email", "--clinic"),
		"key create":                 append(database, "--service-account", "--account-name", "--scopes", "contacts:read", "--networks", "--expires", "--clinic"),
		"key rotate":                 append(database, "--overlap", "--expires", "--clinic"),
		"session end":                append(database, "--email", "--clinic"),
		"migrate":                    database,
		"schema":                     {"--json"},
		"follow":                     {"--token", "$CORRIDOR_TOKEN", "--url", "--after"},
	} {
		got := runs(t, nil, append(strings.Fields(command), "--help")...)

		if got.code != 0 || got.stderr != "" {
			t.Errorf("%s --help ended with %d: %s", command, got.code, got.stderr)
		}
		for _, word := range words {
			if !strings.Contains(got.stdout, word) {
				t.Errorf("%s --help does not mention %s", command, word)
			}
		}
	}
	// Every switch of the policy can be set, whatever is added to it.
	for field := range reflect.TypeFor[chat.Policy]().Fields() {
		if _, ok := reflect.TypeFor[clinicSet]().FieldByName(field.Name); !ok {
			t.Errorf("clinic set does not know %s", field.Name)
		}
	}
}

func TestLogsHoldNothingOfPeople(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t), "CORRIDOR_LOG_LEVEL=debug")
	annsToken, marias := server.token(ann), server.token(maria)
	socket := server.follows(marias)
	server.sends(annsToken, "xylophone in the store")
	// What goes wrong must not tell either.
	for _, body := range []string{
		`{"query":"{ viewer { xylophone } }"}`, `{"query":"xylophone`, `{"query":"mutation { sendMessage(input: {clientKey: \"xylophone\", conversationId: \"xylophone\", body: \"xylophone\"}) { userErrors { code } } }"}`,
		`{"query":"query ($q: String!) { viewer { contacts(query: $q) { nodes { name } } } }","variables":{"q":"xylophone\u0000"}}`,
	} {
		for _, token := range []string{annsToken, marias[:len(marias)-3] + "abc", "xylophone"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.url+"/graphql?xylophone=1", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Authorization", "Bearer "+token)
			request.Header.Set("Origin", server.url)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
	}
	// Nor what files are called and hold, whether they are taken or not; nor addresses, though no other person has any use for them.
	var urls []string
	for _, name := range []string{"xylophone.wav", "xylophone.jpeg"} {
		content := append(recording(2<<20), "xylophone"...)
		id, url := server.announcesAs(annsToken, name, len(content))
		_, _ = server.patches(annsToken, url, 0, bytes.NewReader(content), len(content)) // one of them is refused
		_, _ = server.patches(marias, url, 0, bytes.NewReader(content), len(content))
		urls = append(urls, url)
		if file := server.file(annsToken, id); file.Download != nil {
			server.downloadsUntil(annsToken, id, 1000, func() {})
			urls = append(urls, file.Download.URL)
		}
	}
	// Nor what happens in the database while it is away.
	former := postmaster(t, server.dir)
	if err := syscall.Kill(former, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	server.hasDatabaseAgain(former)
	server.sends(annsToken, "xylophone once more")
	_ = socket.Close(websocket.StatusNormalClosure, "xylophone")
	key, err := os.ReadFile(filepath.Join(server.dir, "token.key"))
	if err != nil {
		t.Fatal(err)
	}

	server.ends(syscall.SIGTERM)

	databaseLog, err := os.ReadFile(filepath.Join(server.dir, "postgres.log"))
	if err != nil {
		t.Fatal(err)
	}
	for name, log := range map[string]string{"the server": server.output.String(), "PostgreSQL": string(databaseLog)} {
		for _, secret := range append(urls,
			"xylophone", "Ann Lee", "María", "Lakeside", "lakeside", "Front desk", annsToken, marias, marias[:len(marias)-10], strings.TrimSpace(string(key)),
		) {
			if strings.Contains(log, secret) {
				t.Errorf("the log of %s holds %q:\n%s", name, secret, log)
			}
		}
	}
}

func TestASecretOfAPanicStaysInIt(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := &server{logger: slog.New(slog.NewJSONHandler(&log, nil))}
	answer := httptest.NewRecorder()

	s.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("xylophone") })).
		ServeHTTP(answer, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil))

	if answer.Code != http.StatusInternalServerError || strings.Contains(answer.Body.String(), "xylophone") {
		t.Errorf("it says %d %s", answer.Code, answer.Body)
	}
	if !strings.Contains(log.String(), "a request failed") || strings.Contains(log.String(), "xylophone") {
		t.Errorf("the log says %s", &log)
	}
}

// Who listens for hints connects with the same settings as everybody else: with the plain URL it may
// not be let in, and only the slow poll is left.
func TestWhoListensConnectsAsAllOthersDo(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	starts(t, emptyDir(t), "DATABASE_URL="+database.URL, "CORRIDOR_TOKEN_KEY="+someKey)
	db := database.Open()

	eventually(t, "somebody listens, under our name", func() (listens bool) {
		const query = `
			SELECT EXISTS (SELECT FROM pg_stat_activity
				WHERE query LIKE 'LISTEN%' AND application_name = 'corridor' AND datname = current_database())`
		return db.Get(&listens, query) == nil && listens
	})
}

// A collection is felt by messages, so a server with few people has none every other second; but it keeps to the memory that there is.
func TestGarbageIsCollectedRarelyAndWithinTheMemory(t *testing.T) {
	t.Parallel()
	postgres := pgtest.New(t).URL
	for _, c := range []struct {
		settings    string
		least, most float64 // megabytes in use at which the next collection comes
	}{
		{"GOGC= GOMEMLIMIT=", 160, 400},
		{"GOGC= GOMEMLIMIT=100MiB", 20, 105},
		{"GOGC=100 GOMEMLIMIT=", 1, 60},
	} {
		server := starts(t, emptyDir(t), append(strings.Fields(c.settings), "DATABASE_URL="+postgres, "CORRIDOR_TOKEN_KEY="+someKey, "CORRIDOR_DEMO=true")...)
		_, metrics := server.gets("/metrics")
		for name, bounds := range map[string][2]float64{"go_memstats_next_gc_bytes": {c.least, c.most}, "go_gc_gomemlimit_bytes": {90, 1e6}} {
			found := regexp.MustCompile(`(?m)^` + name + ` (.*)$`).FindStringSubmatch(metrics)
			if found == nil {
				t.Fatalf("%s is missing in\n%s", name, metrics)
			}
			if bytes, err := strconv.ParseFloat(found[1], 64); err != nil || bytes < bounds[0]*1e6 || bytes > bounds[1]*1e6 {
				t.Errorf("with %s %s is %s, %v", c.settings, name, found[1], err)
			}
		}
		server.ends(syscall.SIGTERM)
	}
}

// Metrics are numbers: no label names a person, a conversation or a stream.
func TestMetricsTellWhatTheServerDoesAndOfNobody(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	token := server.token(ann)
	server.sends(token, "counted")

	status, body := server.gets("/metrics")

	if status != http.StatusOK {
		t.Errorf("it is answered with %d", status)
	}
	for _, name := range []string{
		"corridor_hint_to_delivery_seconds_count", "corridor_feed_lag_seconds", "corridor_streams 0", "corridor_log_breaches_total 0",
		"corridor_slow_readers_total 0", `corridor_connections{kind="websocket"} 0`, `corridor_budget_refusals_total{kind="person"} 0`, "corridor_feed_numbered_total",
		`go_sql_open_connections{db_name="events"}`, "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(body, name) {
			t.Errorf("%s is missing in it", name)
		}
	}
	if found := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}|@|(user|conversation)_[0-9a-z]{20}`).FindString(body); found != "" {
		t.Errorf("it tells of %s", found)
	}
}

func TestAServerReadsFromItsReplicaWhenThereIsOne(t *testing.T) {
	t.Parallel()
	primary := pgtest.NewServer(t, nil)
	standby := primary.Standby()
	standby.Stop()
	settings := []string{"DATABASE_URL=" + primary.URL, "CORRIDOR_TOKEN_KEY=" + someKey, "CORRIDOR_DEMO=true"}

	server := starts(t, emptyDir(t), append(settings, "CORRIDOR_REPLICA_URL="+standby.URL)...)

	token := strings.TrimSpace(runs(t, settings, "token", "--email", ann).stdout)
	answers := func(answer string) bool {
		server.overview(token)
		_, metrics := server.gets("/metrics")
		return !strings.Contains(metrics, `corridor_replica_reads_total{answer="`+answer+`"} 0`+"\n")
	}
	if !answers("away") || answers("replica") {
		t.Error("it does not know that the replica is away")
	}
	if !strings.Contains(server.output.String(), "the replica is away") {
		t.Error("it does not say so")
	}
	standby.Start()
	for until := time.Now().Add(patience); !answers("replica"); {
		if time.Now().After(until) {
			t.Fatal("it does not read from the replica")
		}
	}
}

func TestAReplicaOfSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	server, other := pgtest.New(t), pgtest.New(t)
	at, err := url.Parse(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	at.User = url.UserPassword(at.User.Username(), "mellon-mellon")

	got := runs(t, []string{"DATABASE_URL=" + server.URL, "CORRIDOR_TOKEN_KEY=" + someKey, "CORRIDOR_REPLICA_URL=" + at.String()})

	if got.code != exitUsage || !strings.Contains(got.stderr, "CORRIDOR_REPLICA_URL (--replica-url) names another database") || strings.Contains(got.stderr, "mellon") {
		t.Errorf("it ended with %d: %s", got.code, got.stderr)
	}
}
