//go:build unix && !aix && !solaris

package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"corridor/internal/postgres"
)

// place is a directory that the server's user can enter when we are root.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(fastest(), "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "server")
}

// fastest is where directories are made: in memory if there is enough of it.
func fastest() string {
	const memory = "/dev/shm"
	var room syscall.Statfs_t
	if err := syscall.Statfs(memory, &room); err != nil || uint64(room.Bavail)*uint64(room.Bsize) < 4<<30 {
		return ""
	}
	return memory
}

var furniture struct {
	sync.Once
	dir string
	err error
}

// furnished is a place with a stopped server in it, which is faster to have than to make.
func furnished(t *testing.T) string {
	t.Helper()
	furniture.Do(func() {
		if furniture.dir, furniture.err = os.MkdirTemp(fastest(), "pg"); furniture.err != nil {
			return
		}
		if furniture.err = os.Chmod(furniture.dir, 0o711); furniture.err != nil {
			return
		}
		var server *postgres.Server
		if server, furniture.err = postgres.Start(context.Background(), options(furniture.dir)); furniture.err == nil {
			furniture.err = server.Stop(context.Background())
		}
	})
	if furniture.err != nil {
		t.Fatal(furniture.err)
	}
	dir := place(t)
	data := filepath.Join(dir, "pgdata")
	if err := os.CopyFS(data, os.DirFS(filepath.Join(furniture.dir, "pgdata"))); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{dir: 0o711, data: 0o700} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMain(m *testing.M) {
	code := m.Run()
	if furniture.dir != "" {
		os.RemoveAll(furniture.dir)
	}
	os.Exit(code)
}

func options(dir string) postgres.ServerOptions {
	return postgres.ServerOptions{Dir: dir, Settings: map[string]string{"fsync": "off"}}
}

func start(t *testing.T, dir string) *postgres.Server {
	t.Helper()
	server, err := postgres.Start(t.Context(), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

func stop(t *testing.T, server *postgres.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, server *postgres.Server) *sqlx.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func refused(t *testing.T, dir string, because ...string) {
	t.Helper()
	server, err := postgres.Start(t.Context(), options(dir))
	if err == nil {
		stop(t, server)
		t.Fatal("it started")
	}
	for _, part := range because {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// postmaster is the pid in the server's own file.
func postmaster(t *testing.T, dir string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "pgdata/postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func await(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(time.Minute):
		t.Fatalf("waited in vain until %s", what)
	}
}

func TestANewServerSpeaksAllLanguages(t *testing.T) {
	t.Parallel()
	db := open(t, start(t, place(t)))

	exec(t, db, `CREATE EXTENSION pg_trgm`)
	exec(t, db, `CREATE EXTENSION unaccent`)

	var lower, plain string
	if err := db.QueryRowContext(t.Context(), `SELECT lower('ÅSA ΩΜΕΓΑ'), unaccent('Åsa')`).Scan(&lower, &plain); err != nil {
		t.Fatal(err)
	}
	if lower != "åsa ωμεγα" || plain != "Asa" {
		t.Errorf("it makes %q and %q of them", lower, plain)
	}
	if n := number(t, db, `SELECT cardinality(show_trgm('Ωμέγα'))`); n == 0 {
		t.Error("letters beyond ASCII are no letters to pg_trgm")
	}
}

func TestAStoppedServerComesBackWithItsData(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	first := start(t, dir)
	exec(t, open(t, first), `CREATE TABLE kept AS SELECT 7 AS n`)
	stop(t, first)

	second := start(t, dir)

	if n := number(t, open(t, second), `SELECT n FROM kept`); n != 7 {
		t.Errorf("it says %d", n)
	}
	if first.URL() != second.URL() {
		t.Errorf("it moved from %s to %s", first.URL(), second.URL())
	}
}

func TestASecondStartAttaches(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	owner := start(t, dir)
	exec(t, open(t, owner), `CREATE TABLE kept AS SELECT 7 AS n`)

	second, third := start(t, dir), start(t, dir)
	stop(t, third)

	if n := number(t, open(t, second), `SELECT n FROM kept`); n != 7 {
		t.Errorf("it says %d", n)
	}
	stop(t, owner)
	await(t, "the attached one noticed the end", second.Done())
	select {
	case <-owner.Done():
		t.Error("Done says that a stopped server died")
	default:
	}
}

func TestTwoWhoStartAtOnceShareTheServer(t *testing.T) {
	t.Parallel()
	dir := place(t)
	var starting sync.WaitGroup
	for range 3 {
		starting.Go(func() {
			server, err := postgres.Start(t.Context(), options(dir))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { stop(t, server) })
			if db, err := postgres.Open(t.Context(), server.URL()); err != nil {
				t.Error(err)
			} else {
				db.Close()
			}
		})
	}
	starting.Wait()
}

func TestStopDoesNotWaitForTransactions(t *testing.T) {
	t.Parallel()
	server := start(t, furnished(t))
	db := open(t, server)
	tx, err := db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	number(t, tx, `SELECT count(*) FROM pg_class`)

	stop(t, server)

	if err := db.PingContext(t.Context()); err == nil {
		t.Error("it still answers")
	}
}

func TestAKilledServerIsNoticedAndRecovers(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	server := start(t, dir)
	exec(t, open(t, server), `CREATE TABLE kept AS SELECT 7 AS n`)

	if err := syscall.Kill(postmaster(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "the end was noticed", server.Done())
	stop(t, server)

	if n := number(t, open(t, start(t, dir)), `SELECT n FROM kept`); n != 7 {
		t.Errorf("after the recovery it says %d", n)
	}
}

func TestThePidFileOfAnotherLifeIsNoObstacle(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	stop(t, start(t, dir))
	// As after a power cut: the file is there, the process and the socket are not.
	stale := filepath.Join(dir, "pgdata/postmaster.pid")
	write(t, stale, fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n0 0\nready   \n", 1<<22-2, filepath.Join(dir, "pgdata"), filepath.Join(dir, "socket")))
	if info, err := os.Stat(filepath.Join(dir, "pgdata")); err != nil {
		t.Fatal(err)
	} else if stat := info.Sys().(*syscall.Stat_t); os.Chown(stale, int(stat.Uid), int(stat.Gid)) != nil {
		t.Fatal("cannot give the file away")
	}

	if n := number(t, open(t, start(t, dir)), `SELECT 7`); n != 7 {
		t.Errorf("it says %d", n)
	}
}

// Another process starts a server and is killed.
const owning = "POSTGRES_TEST_OWNS"

func TestOwningProcess(t *testing.T) {
	dir := os.Getenv(owning)
	if dir == "" {
		t.Skip("only for the test that starts it")
	}
	server := start(t, dir)
	exec(t, open(t, server), `CREATE TABLE kept AS SELECT 7 AS n`)
	fmt.Println("\nready")
	select {}
}

func TestAServerEndsWithAKilledProcessAndCanBeStartedAtOnce(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	owner := owningProcess(t, dir)
	orphan := postmaster(t, dir)

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	server := start(t, dir)

	if now := postmaster(t, dir); now == orphan {
		t.Error("it is the old server")
	}
	if n := number(t, open(t, server), `SELECT n FROM kept`); n != 7 {
		t.Errorf("it says %d", n)
	}
}

// owningProcess is a process that started the server in dir.
func owningProcess(t *testing.T, dir string) *osexec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := osexec.CommandContext(t.Context(), self, "-test.run=^TestOwningProcess$")
	owner.Env = append(os.Environ(), owning+"="+dir)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			return owner
		}
	}
	t.Fatalf("the other process ended: %v", owner.Wait())
	return nil
}

func TestAnotherVersionsDataIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	dir := place(t)
	marker := filepath.Join(dir, "pgdata/marker")
	write(t, filepath.Join(dir, "pgdata/PG_VERSION"), "12\n")
	write(t, marker, "mine")

	refused(t, dir, "PostgreSQL 12", "PG_BINDIR", "not touched")

	if content, err := os.ReadFile(marker); string(content) != "mine" {
		t.Errorf("the marker is %q, %v", content, err)
	}
}

func TestForeignFilesAreRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	dir := place(t)
	marker := filepath.Join(dir, "pgdata/letter.txt")
	write(t, marker, "mine")

	refused(t, dir, "pgdata has files in it", "choose another directory")

	if content, err := os.ReadFile(marker); string(content) != "mine" {
		t.Errorf("the letter is %q, %v", content, err)
	}
}

func TestTheDataDirectoryOfAnotherServerIsRefused(t *testing.T) {
	t.Parallel()
	dir := place(t)
	write(t, filepath.Join(dir, "PG_VERSION"), "15\n")

	refused(t, dir, "another PostgreSQL")

	if entries, err := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("there are %d files now, %v", len(entries), err)
	}
}

func TestAWrongSettingIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	wrong := options(furnished(t))
	wrong.Settings["shared_buffers"] = "plenty"

	_, err := postgres.Start(t.Context(), wrong)

	if err == nil || !strings.Contains(err.Error(), "shared_buffers") {
		t.Errorf("it said %v", err)
	}
}

func TestALongPathStillHasASocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(place(t), strings.Repeat("long", 20), strings.Repeat("path", 20))

	server := start(t, dir)

	if n := number(t, open(t, server), `SELECT 7`); n != 7 {
		t.Errorf("it says %d", n)
	}
}

func TestTheLogKeepsWhatIsInRowsToItself(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	db := open(t, start(t, dir))
	exec(t, db, `CREATE TABLE people (name text UNIQUE, age int)`)
	exec(t, db, `INSERT INTO people VALUES ('hush-hush')`)
	for _, failing := range []string{
		`INSERT INTO people VALUES ('hush-hush')`,
		`SELECT 'hush-hush'::int`,
		`INSERT INTO people VALUES ('x', 'hush-hush')`,
		`DO $$ BEGIN RAISE WARNING 'hush-hush'; RAISE EXCEPTION 'hush-hush'; END $$`,
	} {
		if _, err := db.ExecContext(t.Context(), failing); err == nil {
			t.Errorf("%s did not fail", failing)
		}
	}
	if _, err := db.ExecContext(t.Context(), `SELECT $1::text::int`, "hush-hush"); err == nil {
		t.Error("a parameter did not fail")
	}

	log, err := os.ReadFile(filepath.Join(dir, "postgres.log"))

	if err != nil || !strings.Contains(string(log), "ready to accept connections") || strings.Contains(string(log), "hush") {
		t.Errorf("%v, the log is\n%s", err, log)
	}
}

func TestNobodyElseCanEnterTheSocketAndTheData(t *testing.T) {
	t.Parallel()
	dir := place(t)
	start(t, dir)

	for _, name := range []string{"socket", "pgdata"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s is %v", name, info.Mode())
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 {
			t.Errorf("%s belongs to root", name)
		}
	}
}

func TestRootIsToldWhichDirectoryIsInTheWay(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("PostgreSQL runs as root's deputy only when root starts it")
	}
	dir := place(t)
	closed := filepath.Dir(dir)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}

	refused(t, dir, "may not enter "+closed, "/var/lib/corridor")
}
