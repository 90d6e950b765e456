package pgtest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"corridor/internal/pgtest"
	"corridor/internal/postgres"
	"corridor/migrations"
)

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	var making sync.WaitGroup
	for range 8 {
		making.Go(func() {
			db := pgtest.New(t).Open()
			if _, err := db.ExecContext(t.Context(), `CREATE TABLE mine ()`); err != nil {
				t.Error(err)
			}
		})
	}
	making.Wait()
}

func TestANewDatabaseLacksNoMigration(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t).Open()

	pending, err := postgres.Pending(t.Context(), db, migrations.Files)

	if pending != 0 || err != nil {
		t.Errorf("%d migrations are pending, %v", pending, err)
	}
}

func TestStatementsAreCountedUnderTheirContext(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Open()
	ctx, counter := pgtest.Count(t.Context())
	derived, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	inner, innerCounter := pgtest.Count(derived)

	exec := func(ctx context.Context, query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(ctx, query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(ctx, `CREATE TABLE numbers (n int)`)
	exec(derived, `INSERT INTO numbers VALUES ($1), ($2)`, 1, 2)
	exec(inner, `INSERT INTO numbers VALUES (3)`)
	exec(t.Context(), `SELECT 'somebody else'`)
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := tx.PreparexContext(ctx, `SELECT n FROM numbers WHERE n > $1`)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var rows []int
		if err := prepared.SelectContext(ctx, &rows, 1); err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `SELECT 1/0`); err == nil {
		t.Fatal("one can divide by zero")
	}

	want := []string{
		`CREATE TABLE numbers (n int)`,
		`INSERT INTO numbers VALUES ($1), ($2)`,
		`INSERT INTO numbers VALUES (3)`,
		`SELECT n FROM numbers WHERE n > $1`,
		`SELECT n FROM numbers WHERE n > $1`,
		`SELECT 1/0`,
	}
	if got := counter.Queries(); !slices.Equal(got, want) || counter.Statements() != len(want) {
		t.Errorf("counted %q, want %q", got, want)
	}
	if got := innerCounter.Queries(); !slices.Equal(got, want[2:3]) {
		t.Errorf("counted %q inside, want %q", got, want[2:3])
	}
}

func TestACountedConnectionStillHearsACancel(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Open()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	_, err := db.ExecContext(ctx, `SELECT pg_sleep(600)`)

	if state, _ := postgres.Code(err); state != "57014" && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ended with %v, want it cancelled", err)
	}
}

func TestAServerForgetsNothingWhenItIsKilled(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, nil)
	db := server.Open()
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE kept AS SELECT 7 AS n`); err != nil {
		t.Fatal(err)
	}

	server.Kill()
	if err := db.PingContext(t.Context()); err == nil {
		t.Fatal("it answers although it was killed")
	}
	server.Start()

	var n int
	// The pool still has connections that died with the server.
	if err := db.GetContext(t.Context(), &n, `SELECT n FROM kept`); err != nil || n != 7 {
		t.Errorf("after the restart it says %d, %v", n, err)
	}
}

// Another process plays a test run that goes wrong.
const playing = "PGTEST_PLAYS"

func TestPlayedRun(t *testing.T) {
	role := os.Getenv(playing)
	if role == "" {
		t.Skip("only for the tests that start it")
	}
	database := pgtest.New(t)
	db := database.Open()
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE evidence AS SELECT 42 AS n`); err != nil {
		t.Fatal(err)
	}
	var data string
	if err := db.GetContext(t.Context(), &data, `SHOW data_directory`); err != nil {
		t.Fatal(err)
	}
	t.Logf("data=%s", data)
	switch role {
	case "fails":
		t.Error("as was asked for")
	case "is killed":
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		_ = self.Kill()
		select {}
	}
}

// play runs the test above in a process of its own and returns what it printed and its directory.
func play(t *testing.T, role string) (output, dir string) {
	t.Helper()
	// A name of its own, because a run replaces what an earlier one of its name kept.
	program := filepath.Join(t.TempDir(), strings.ToLower(t.Name()))
	if err := os.Symlink(executable(t), program); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), program, "-test.run=^TestPlayedRun$", "-test.v")
	run.Env = append(os.Environ(), playing+"="+role)
	out, _ := run.CombinedOutput()
	data := regexp.MustCompile(`data=(\S+)/pgdata`).FindSubmatch(out)
	if data == nil {
		t.Fatalf("the run printed %s", out)
	}
	return string(out), string(data[1])
}

func executable(t *testing.T) string {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAGreenRunLeavesNothing(t *testing.T) {
	t.Parallel()
	_, dir := play(t, "passes")
	pgtest.Eventually(t, "the directory is gone", func() bool { return !exists(dir) })
}

func TestAKilledRunLeavesNothing(t *testing.T) {
	t.Parallel()
	_, dir := play(t, "is killed")
	pgtest.Eventually(t, "the directory is gone", func() bool { return !exists(dir) })
}

func TestARedTestKeepsItsDatabase(t *testing.T) {
	t.Parallel()
	output, dir := play(t, "fails")
	t.Cleanup(func() { os.RemoveAll(dir) })
	command := regexp.MustCompile(`look (\S+) (\S+)\n`).FindStringSubmatch(output)
	if command == nil || command[1] != dir {
		t.Fatalf("the test does not say where its database is: %s", output)
	}
	pgtest.Eventually(t, "the server is down", func() bool { return !exists(filepath.Join(dir, "pgdata/postmaster.pid")) })

	server, err := postgres.Start(t.Context(), postgres.ServerOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop(context.WithoutCancel(t.Context()))
	db, err := postgres.Open(t.Context(), strings.Replace(server.URL(), "/corridor?", "/"+command[2]+"?", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.GetContext(t.Context(), &n, `SELECT n FROM evidence`); err != nil || n != 42 {
		t.Errorf("the evidence is %d, %v", n, err)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func BenchmarkNewParallel(b *testing.B) {
	b.SetParallelism(4)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			pgtest.New(b)
		}
	})
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		pgtest.New(b)
	}
}

func TestAnExplainingServerTellsWhatStatementsDid(t *testing.T) {
	t.Parallel()
	server := pgtest.NewExplaining(t)
	db := server.Open()
	db.MustExec(`CREATE TABLE mothers (id int PRIMARY KEY);
		CREATE TABLE children (id int PRIMARY KEY, mother int REFERENCES mothers, name text);
		INSERT INTO mothers SELECT generate_series(1, 1000);
		INSERT INTO children SELECT n, n, 'child ' || n FROM generate_series(1, 1000) AS n;
		ANALYZE mothers, children`)

	ran := server.Ran(func() {
		db.MustExec(`DELETE FROM mothers WHERE id = $1 AND false`, 5)
		db.MustExec(`UPDATE children SET mother = 7 WHERE id = $1`, 5)
		db.MustExec(`SELECT FROM children WHERE name = $1`, "child 5")
	})

	if len(ran) != 4 || !strings.Contains(ran[1].Query+ran[2].Query, `FROM ONLY "public"."mothers"`) { // which the foreign key asks for
		t.Fatalf("it ran %+v", ran)
	}
	if last := ran[3]; last.Rows != 1000 || !slices.Equal(last.Whole, []string{"children"}) || last.Buffers < 5 {
		t.Errorf("a table without an index was read so: %+v", last)
	}
	if update := ran[1].Rows + ran[2].Rows; update != 2 || len(ran[1].Whole)+len(ran[2].Whole) > 0 {
		t.Errorf("a row was changed so: %+v, %+v", ran[1], ran[2])
	}
}
