package postgres_test

import (
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"

	"corridor/internal/pgtest"
	"corridor/internal/postgres"
)

// oneConnection is a pool of one, in which it can be seen what is prepared.
func oneConnection(t *testing.T) *sqlx.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), pgtest.New(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func prepared(t *testing.T, db *sqlx.DB) (n int) {
	t.Helper()
	if err := db.Get(&n, `SELECT count(*) FROM pg_prepared_statements`); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAStatementIsPreparedOnce(t *testing.T) {
	t.Parallel()
	db := oneConnection(t)
	db.MustExec(`CREATE TEMP TABLE numbers (n int)`)

	for range 3 {
		db.MustExec(`INSERT INTO numbers VALUES ($1)`, 1)
		tx := db.MustBegin()
		tx.MustExec(`INSERT INTO numbers VALUES ($1)`, 2)
		var sum int
		if err := tx.Get(&sum, `SELECT sum(n) FROM numbers WHERE n > $1`, 0); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}

	if n := prepared(t, db); n != 2 {
		t.Errorf("%d statements are prepared, not 2", n)
	}
}

func TestPreparedStatementsAreBounded(t *testing.T) {
	t.Parallel()
	db := oneConnection(t)
	for i := range 450 {
		var n int
		if err := db.Get(&n, fmt.Sprintf(`SELECT $1::int + %d`, i), 1); err != nil || n != i+1 {
			t.Fatalf("it is %d, %v", n, err)
		}
	}

	if n := prepared(t, db); n < 1 || n > 200 {
		t.Errorf("%d statements are prepared", n)
	}
}

// A migration may change what a statement returns, and a pooler may forget it.
func TestAStatementThatIsOutlivedFailsOnce(t *testing.T) {
	t.Parallel()
	for what, outlives := range map[string]string{
		"a migration": `ALTER TABLE numbers ALTER n TYPE text`,
		"a pooler":    `DEALLOCATE ALL`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db := oneConnection(t)
			db.MustExec(`CREATE TEMP TABLE numbers (n int); INSERT INTO numbers VALUES (7)`)
			reads := func() error {
				var n string
				return db.Get(&n, `SELECT * FROM numbers WHERE $1`, true)
			}
			if err := reads(); err != nil {
				t.Fatal(err)
			}
			db.MustExec(outlives)

			first, second := reads(), reads()

			if first == nil || second != nil {
				t.Errorf("first it is %v, then %v", first, second)
			}
		})
	}
}
