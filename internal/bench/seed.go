package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/sync/errgroup"

	"corridor/internal/postgres"
	"corridor/migrations"
)

// size is how much there is of a clinic. There is a waiting room for each hundred of the staff.
type size struct {
	Staff, Conversations, Messages int
}

var (
	fullSize  = size{Staff: 50_000, Conversations: 20_000, Messages: 2_000_000}
	quickSize = size{Staff: 5_000, Conversations: 2_000, Messages: 200_000}
)

// tenth has a tenth of the data, and of the staff as far as books of contacts stay as large as they are.
func (s size) tenth() size {
	return size{Staff: max(min(s.Staff, house), s.Staff/10), Conversations: max(minConversations, s.Conversations/10), Messages: max(minMessages, s.Messages/10)}
}

func (s size) rooms() int { return max(5, s.Staff/100) }

func (s size) String() string {
	return fmt.Sprintf("%s staff, %d waiting rooms, %s conversations, %s messages",
		thousands(s.Staff), s.rooms(), thousands(s.Conversations), thousands(s.Messages))
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

func (s size) database() string {
	return fmt.Sprintf("seed_%d_%d_%d", s.Staff, s.Conversations, s.Messages)
}

const (
	// seedVersion changes with what the seeder writes.
	seedVersion = "corridor bench 1"
	// seedAge is when a seed is made anew: the feed keeps what is younger than 30 days.
	seedAge = 20 * 24 * time.Hour
)

// seeder makes databases to measure on.
type seeder struct {
	binary string
	server *postgres.Server
	admin  *sqlx.DB
	env    []string
	report func(format string, args ...any)
}

// database returns the name of a database with so much data, which is made unless it is there.
func (s *seeder) database(ctx context.Context, size size) (name string, err error) {
	name = size.database()
	if s.isGood(ctx, name) {
		s.report("the data is there from before: %s", size)
		return name, nil
	}
	began := time.Now()
	s.report("making the data, once: %s", size)
	if err := s.create(ctx, name, ""); err != nil {
		return "", err
	}
	if err := s.fill(ctx, name, size); err != nil {
		return "", fmt.Errorf("make the data: %w", err)
	}
	note := seedVersion + " " + time.Now().UTC().Format(time.RFC3339)
	if _, err := s.admin.ExecContext(ctx, `COMMENT ON DATABASE `+name+` IS `+pq.QuoteLiteral(note)); err != nil {
		return "", err
	}
	s.report("made the data in %s", time.Since(began).Round(time.Second))
	return name, nil
}

// isGood tells whether a database was made to its end, lately, and for the tables as they are.
func (s *seeder) isGood(ctx context.Context, name string) bool {
	const query = `SELECT COALESCE(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = $1`
	var note string
	if err := s.admin.GetContext(ctx, &note, query, name); err != nil {
		return false
	}
	made, err := time.Parse(time.RFC3339, strings.TrimPrefix(note, seedVersion+" "))
	if err != nil || time.Since(made) > seedAge {
		return false
	}
	db, err := postgres.Open(ctx, databaseURL(s.server, name))
	if err != nil {
		return false
	}
	defer db.Close()
	pending, err := postgres.Pending(ctx, db, migrations.Files)
	return err == nil && pending == 0
}

// create makes a database anew, as a copy of another one if that is named.
func (s *seeder) create(ctx context.Context, name, template string) error {
	if err := s.drop(ctx, name); err != nil {
		return err
	}
	query := `CREATE DATABASE ` + name
	if template != "" {
		query += ` TEMPLATE ` + template + ` STRATEGY file_copy`
	}
	_, err := s.admin.ExecContext(ctx, query)
	return err
}

func (s *seeder) drop(ctx context.Context, name string) error {
	_, err := s.admin.ExecContext(ctx, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`)
	return err
}

// fill has the program itself make the tables and take in the staff, and then writes what was said.
func (s *seeder) fill(ctx context.Context, name string, size size) error {
	url := databaseURL(s.server, name)
	roster, err := writeRoster(size)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(roster))
	s.report("  the staff and their waiting rooms, by corridor roster import")
	for _, arguments := range [][]string{
		{"migrate"},
		{"roster", "import", roster, "--clinic", "Clinic"},
		{"clinic", "set", "Clinic", "--group-size-limit", "1000"},
	} {
		if err := runs(ctx, s.binary, append(s.env, "DATABASE_URL="+url), arguments...); err != nil {
			return err
		}
	}
	for _, setting := range []string{`ALTER SYSTEM SET max_wal_size = '8GB'`, `SELECT pg_reload_conf()`} {
		if _, err := s.admin.ExecContext(ctx, setting); err != nil {
			return err
		}
	}
	defer func() {
		_, _ = s.admin.ExecContext(context.WithoutCancel(ctx), `ALTER SYSTEM RESET max_wal_size`)
		_, _ = s.admin.ExecContext(context.WithoutCancel(ctx), `SELECT pg_reload_conf()`)
	}()
	// Nothing is checked against other tables, and nothing waits for the disk: a seed that was broken off is made anew.
	db, err := postgres.Open(ctx, url+"&session_replication_role=replica&synchronous_commit=off&maintenance_work_mem=256MB")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := s.write(ctx, db, size); err != nil {
		return err
	}
	if err := s.check(ctx, db, size); err != nil {
		return err
	}
	s.report("  VACUUM and ANALYZE")
	for _, query := range []string{`VACUUM (FREEZE, ANALYZE)`, `CHECKPOINT`} {
		if _, err := db.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// writeRoster writes the staff to a file.
func writeRoster(size size) (name string, err error) {
	dir, err := os.MkdirTemp("", "corridor-bench-")
	if err != nil {
		return "", err
	}
	var roster strings.Builder
	roster.WriteString("email,name,role,waiting_rooms\n")
	for n := range size.Staff {
		rooms := roomsOf(n, size.Staff)
		fmt.Fprintf(&roster, "%s,%s,%s,%s\n", emailOf(n), nameOf(n), roles[n%len(roles)], strings.Join(rooms[:], ";"))
	}
	name = filepath.Join(dir, "roster.csv")
	return name, os.WriteFile(name, []byte(roster.String()), 0o600)
}

// write writes all that people have said, as the program would have.
func (s *seeder) write(ctx context.Context, db *sqlx.DB, size size) error {
	clinic, people, err := staffIn(ctx, db, size)
	if err != nil {
		return err
	}
	h := newPast(size, people, time.Now())
	var streams, numbered int64
	if err := db.GetContext(ctx, &streams, `SELECT max(number) FROM streams`); err != nil {
		return err
	}
	for i := range h.conversations {
		h.conversations[i].stream = streams + 1 + int64(i)
	}
	// The feed, as the program numbers it: first what came of the roster.
	const number = `
		WITH taken AS (DELETE FROM unnumbered RETURNING stream, seq), added AS (
			INSERT INTO feed (pos, stream, seq)
			SELECT head + row_number() OVER (ORDER BY stream, seq), stream, seq FROM taken, feed_state
			RETURNING pos
		)
		SELECT COALESCE(max(pos), (SELECT head FROM feed_state)) FROM added`
	if err := db.GetContext(ctx, &numbered, number); err != nil {
		return fmt.Errorf("number the roster's events: %w", err)
	}
	restore, err := withoutIndexes(ctx, db, "messages", "client_keys", "events", "feed")
	if err != nil {
		return err
	}
	total := 4 * (len(h.order) + len(h.conversations))
	var written atomic.Int64
	stop := s.progress("  messages, keys, events and the feed", &written, total)
	group, copying := errgroup.WithContext(ctx)
	for _, table := range h.tables(clinic, numbered) {
		group.Go(func() error { return copyIn(copying, db, table, &written) })
	}
	err = group.Wait()
	stop()
	if err != nil {
		return err
	}
	s.report("  indexes")
	if err := restore(); err != nil {
		return err
	}
	if err := h.writeConversations(ctx, db, clinic); err != nil {
		return err
	}
	for _, query := range []string{
		`SELECT setval(pg_get_serial_sequence('streams', 'number'), max(number)) FROM streams`,
		`UPDATE feed_state SET head = (SELECT max(pos) FROM feed)`,
	} {
		if _, err := db.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// staffIn returns the people of the only clinic by their numbers.
func staffIn(ctx context.Context, db *sqlx.DB, size size) (clinic uuid.UUID, people []uuid.UUID, err error) {
	rows, err := db.QueryContext(ctx, `SELECT clinic_id, id, email FROM users`)
	if err != nil {
		return clinic, nil, err
	}
	defer rows.Close()
	people = make([]uuid.UUID, size.Staff)
	for rows.Next() {
		var id uuid.UUID
		var email string
		if err := rows.Scan(&clinic, &id, &email); err != nil {
			return clinic, nil, err
		}
		name, _, _ := strings.Cut(email, "@")
		n, err := strconv.Atoi(name[strings.LastIndexByte(name, '.')+1:])
		if err != nil || n < 0 || n >= size.Staff {
			return clinic, nil, errors.New("there is somebody who is not of the roster")
		}
		people[n] = id
	}
	return clinic, people, rows.Err()
}

// progress reports every few seconds how much is done.
func (s *seeder) progress(what string, done *atomic.Int64, total int) (stop func()) {
	ended := make(chan struct{})
	go func() {
		every := time.NewTicker(5 * time.Second)
		defer every.Stop()
		for {
			select {
			case <-ended:
				return
			case <-every.C:
				s.report("%s: %d of 100 %%", what, 100*done.Load()/int64(total))
			}
		}
	}()
	s.report("%s", what)
	return func() { close(ended) }
}

// check tells whether the tables hold what they should.
func (s *seeder) check(ctx context.Context, db *sqlx.DB, size size) error {
	const query = `
		SELECT (SELECT count(*) FROM users) AS staff, (SELECT count(*) FROM waiting_rooms) AS rooms,
			(SELECT count(*) FROM conversations) AS conversations, (SELECT count(*) FROM messages) AS messages,
			(SELECT count(*) FROM unnumbered) AS unnumbered, (SELECT count(*) FROM events) - (SELECT count(*) FROM feed) AS unfed,
			(SELECT max(pos) FROM feed) - (SELECT head FROM feed_state) AS ahead`
	var has struct{ Staff, Rooms, Conversations, Messages, Unnumbered, Unfed, Ahead int }
	if err := db.GetContext(ctx, &has, query); err != nil {
		return err
	}
	if has.Staff != size.Staff || has.Rooms != size.rooms() || has.Conversations != size.Conversations || has.Messages != size.Messages ||
		has.Unnumbered != 0 || has.Unfed != 0 || has.Ahead != 0 {
		return fmt.Errorf("the data is not what it should be (%+v)", has)
	}
	return nil
}
