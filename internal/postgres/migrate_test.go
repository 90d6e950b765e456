package postgres_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"corridor/internal/pgtest"
	"corridor/internal/postgres"
)

func step(sql string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql + "\n")}
}

func TestManyInstancesMigrateAtTheSameMoment(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmpty(t)
	steps := fstest.MapFS{
		"0001_people.sql": step(`CREATE TABLE people (name text);`),
		"0002_index.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\n" +
			"CREATE INDEX CONCURRENTLY people_name ON people (name);\n")},
	}
	var done atomic.Int32

	var instances sync.WaitGroup
	for range 6 {
		db := database.Open()
		instances.Go(func() {
			if err := postgres.Migrate(t.Context(), db, steps, func(string) { done.Add(1) }); err != nil {
				t.Error(err)
			}
		})
	}
	instances.Wait()

	if got := done.Load(); got != 2 {
		t.Errorf("%d steps were reported, want each of the two once", got)
	}
}

func TestAStepThatFailsLeavesNoTraceAndCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Open()
	steps := fstest.MapFS{
		"0001_people.sql": step(`CREATE TABLE people (name text);`),
		"0002_rooms.sql":  step(`CREATE TABLE rooms (name text); SELECT 1/0;`),
	}
	var reported []string
	report := func(line string) { reported = append(reported, line) }

	err := postgres.Migrate(t.Context(), db, steps, report)

	if err == nil || len(reported) != 1 {
		t.Errorf("it said %v and reported %q, want an error after the first step", err, reported)
	}
	if pending, err := postgres.Pending(t.Context(), db, steps); pending != 1 || err != nil {
		t.Errorf("%d are pending, %v, want the one that failed", pending, err)
	}
	steps["0002_rooms.sql"] = step(`CREATE TABLE rooms (name text);`)
	if err := postgres.Migrate(t.Context(), db, steps, report); err != nil || len(reported) != 2 {
		t.Errorf("the second time it said %v and reported %q", err, reported)
	}
}

func TestCountingWhatIsPendingChangesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Open()

	pending, err := postgres.Pending(t.Context(), db, fstest.MapFS{"0001_people.sql": step(`CREATE TABLE people ();`)})

	if pending != 1 || err != nil {
		t.Errorf("%d are pending, %v", pending, err)
	}
	if tables := number(t, db, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`); tables != 0 {
		t.Errorf("there are %d tables now", tables)
	}
}
