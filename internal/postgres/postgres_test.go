package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"corridor/internal/pgtest"
	"corridor/internal/postgres"
)

func exec(t *testing.T, db *sqlx.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func number(t *testing.T, db sqlx.QueryerContext, query string, args ...any) (n int) {
	t.Helper()
	if err := sqlx.GetContext(t.Context(), db, &n, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestATransactionIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Open()
	exec(t, db, `CREATE TABLE sums (n int)`)
	insert := func(tx *sqlx.Tx) {
		if _, err := tx.ExecContext(t.Context(), `INSERT INTO sums VALUES (1)`); err != nil {
			t.Error(err)
		}
	}
	changedMind := errors.New("changed my mind")

	if err := postgres.InTx(t.Context(), db, func(tx *sqlx.Tx) error { insert(tx); return nil }); err != nil {
		t.Error(err)
	}
	if err := postgres.InTx(t.Context(), db, func(tx *sqlx.Tx) error { insert(tx); return changedMind }); !errors.Is(err, changedMind) {
		t.Errorf("the error became %v", err)
	}
	func() {
		defer func() {
			if got := recover(); got != "panic" {
				t.Errorf("recovered %v, want the panic", got)
			}
		}()
		_ = postgres.InTx(t.Context(), db, func(tx *sqlx.Tx) error { insert(tx); panic("panic") })
	}()

	if n := number(t, db, `SELECT count(*) FROM sums`); n != 1 {
		t.Errorf("%d rows were kept, want that of the transaction that returned nil", n)
	}
	if open := db.Stats().InUse; open != 0 {
		t.Errorf("%d transactions are still open", open)
	}
}

func TestACommitThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Open()
	exec(t, db, `CREATE TABLE once (n int CONSTRAINT once_n UNIQUE DEFERRABLE INITIALLY DEFERRED)`)

	err := postgres.InTx(t.Context(), db, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO once VALUES (1), (1)`)
		return err
	})

	if !postgres.Violates(err, "once_n") {
		t.Errorf("the commit said %v", err)
	}
}

func TestASnapshotSeesOneMomentAndChangesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Open()
	exec(t, db, `CREATE TABLE sums (n int)`)

	err := postgres.InSnapshot(t.Context(), db, func(tx *sqlx.Tx) error {
		before := number(t, tx, `SELECT count(*) FROM sums`)
		exec(t, db, `INSERT INTO sums VALUES (1)`)
		if after := number(t, tx, `SELECT count(*) FROM sums`); after != before {
			t.Errorf("it saw %d rows, then %d", before, after)
		}
		_, err := tx.ExecContext(t.Context(), `INSERT INTO sums VALUES (2)`)
		return err
	})

	if state, _ := postgres.Code(err); state != "25006" {
		t.Errorf("a write was answered with %v, want the refusal of a read-only transaction", err)
	}
}

func TestAViolationIsKnownByItsConstraint(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Open()
	exec(t, db, `CREATE TABLE people (email text CONSTRAINT people_email_key UNIQUE)`)
	exec(t, db, `INSERT INTO people VALUES ('ann@example.org')`)

	_, err := db.ExecContext(t.Context(), `INSERT INTO people VALUES ('ann@example.org')`)

	if !postgres.Violates(err, "people_email_key") || postgres.Violates(err, "people_pkey") || postgres.Violates(nil, "") {
		t.Errorf("%v was not recognised", err)
	}
	if state, constraint := postgres.Code(err); state != "23505" || constraint != "people_email_key" {
		t.Errorf("the code is %s of %s", state, constraint)
	}
}

func TestWhetherTheDatabaseIsAwayIsKnown(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmpty(t)
	db := database.Open()
	_, wrong := db.ExecContext(t.Context(), `SELECT no_such_column`)
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, tooLate := db.ExecContext(late, `SELECT 1`)
	_, nobody := postgres.Open(t.Context(), "postgres://corridor@127.0.0.1:1/corridor")
	conn, err := db.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var process int
	if err := conn.GetContext(t.Context(), &process, `SELECT pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `SELECT pg_terminate_backend($1)`, process)
	cutOff := conn.GetContext(t.Context(), &process, `SELECT pg_backend_pid()`)

	for what, c := range map[string]struct {
		err  error
		want bool
	}{
		"a refused statement": {wrong, false}, "a time that is over": {tooLate, false}, "nothing": {nil, false},
		"nobody who listens": {nobody, true}, "a session that was ended": {cutOff, true},
	} {
		if got := postgres.Unavailable(c.err); got != c.want {
			t.Errorf("that the database is away is said to be %t by %s (%v)", got, what, c.err)
		}
	}
}

func TestSessionsAreInUTC(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Open()

	var zone, name string
	if err := db.QueryRowContext(t.Context(), `SELECT current_setting('TimeZone'), current_setting('application_name')`).Scan(&zone, &name); err != nil {
		t.Fatal(err)
	}

	if zone != "UTC" || name != "corridor" {
		t.Errorf("the session is called %q and lives in %q", name, zone)
	}
}

func TestNoErrorContainsThePassword(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := nobody.Addr().String()
	nobody.Close()
	for _, unusable := range []string{
		"postgres://ann:hunter2@" + closed + "/db",
		"postgres://ann:hunter2@nowhere.invalid/db",
		"postgres://ann:hunter2%@localhost/db",
		"postgres://ann:hunter2@localhost:notaport/db",
		"postgres://ann:hunter2@localhost/db?sslmode=perhaps",
		"postgres://ann@localhost/db?password=hunter2%",
		"mysql://ann:hunter2@localhost/db",
		"host=localhost password=hunter2",
		"hunter2",
		"",
	} {
		db, err := postgres.Open(t.Context(), unusable)
		if err == nil {
			db.Close()
			t.Errorf("%s was opened", unusable)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func TestTheNetworkMeansTLSUnlessTheURLSaysOtherwise(t *testing.T) {
	t.Setenv("PGHOST", "")
	t.Setenv("PGSSLMODE", "")
	for raw, want := range map[string]string{
		"postgres://db.example.org/x":                     "require",
		"postgres://ann:secret@10.0.0.7:6432/x":           "require",
		"postgres:///x?host=db.example.org":               "require",
		"postgres://db.example.org/x?sslmode=verify-full": "verify-full",
		"postgres://db.example.org/x?sslmode=disable":     "disable",
		"postgres://localhost/x":                          "disable",
		"postgres://[::1]:5433/x":                         "disable",
		"postgres:///x?host=%2Fvar%2Frun%2Fpostgresql":    "disable",
		"postgresql://127.0.0.1/x?sslmode=require":        "require",
	} {
		completed, err := postgres.Complete(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		u, err := url.Parse(completed)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Query().Get("sslmode"); got != want {
			t.Errorf("%s gets sslmode=%s, want %s", raw, got, want)
		}
	}
}

func TestAServerThatNeverAnswersIsGivenUp(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() // the kernel accepts, nobody speaks

	_, err = postgres.Open(t.Context(), "postgres://"+silent.Addr().String()+"/x?connect_timeout=1")

	if err == nil {
		t.Error("it opened")
	}
	completed, err := postgres.Complete("postgres://db.example.org/x")
	if err != nil || !strings.Contains(completed, "connect_timeout=10") {
		t.Errorf("there is no limit by itself in %s, %v", completed, err)
	}
}

// The pool of database/sql keeps two connections by itself, and opens and closes the others in every burst.
func TestABurstClosesNoConnections(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t).Open()
	for range 5 {
		var burst sync.WaitGroup
		for range 16 {
			burst.Go(func() {
				if _, err := db.Exec(`SELECT pg_sleep(0.01)`); err != nil {
					t.Error(err)
				}
			})
		}
		burst.Wait()
	}
	if stats := db.Stats(); stats.MaxIdleClosed > 0 {
		t.Errorf("%d connections were closed because there were too many idle ones", stats.MaxIdleClosed)
	}
}
