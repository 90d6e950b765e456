// Package pgtest gives every test a real PostgreSQL database of its own, and counts the statements
// that run under a context.
//
// Each test process runs a server of its own, without any regard for durability, in memory where
// there is room. It begins as a copy of a prepared one, which holds a migrated database and is made
// anew when the migrations change, so a process waits about a tenth of a second for its server and
// a test about twenty milliseconds for its database. Nothing is shared between processes: they
// may run in parallel and be killed at any time. When the process ends, however it ends, the server
// ends with it and its directory is removed, unless a test failed: then the directory stays until
// the next run of that package fails or a day has passed, and the test says how to look into it.
package pgtest

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"corridor/internal/postgres"
)

// Database is a database of one test.
type Database struct {
	// URL is what postgres.Open and psql take, as long as the test runs.
	URL string
	t   testing.TB
}

// New returns a database with all migrations applied that nobody else uses. If the test fails the
// database is kept, and the test prints the command that opens it.
func New(t testing.TB) *Database {
	t.Helper()
	return shared(t).create(t, template)
}

// NewEmpty is New for a database without any table.
func NewEmpty(t testing.TB) *Database {
	t.Helper()
	return shared(t).create(t, "template1")
}

// Open returns connections to the database that count statements for Count and are closed at the
// end of the test.
func (d *Database) Open() *sqlx.DB {
	d.t.Helper()
	db, err := openCounted(d.t.Context(), d.URL)
	if err != nil {
		d.t.Fatalf("pgtest: %v", err)
	}
	d.t.Cleanup(func() { db.Close() })
	return db
}

// Server is a server of one test, for tests that stop, kill and restart PostgreSQL.
type Server struct {
	// Database is a migrated database in it. Its URL stays the same over restarts.
	*Database
	cluster *cluster
}

// NewServer returns a running server that nobody else uses, with these settings besides those of all
// tests. It is stopped at the end of the test.
func NewServer(t testing.TB, given map[string]string) *Server {
	t.Helper()
	c, err := newCluster(t.Context(), given)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s := &Server{cluster: c}
	t.Cleanup(s.Stop)
	s.Database = c.create(t, template)
	return s
}

// Kill ends the server as a crash would, and returns when it is down.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.cluster.kill(s.t.Context()); err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}
	s.Stop()
}

// Stop ends the server in order. A stopped server may be stopped again.
func (s *Server) Stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.cluster.server.Stop(ctx); err != nil {
		s.t.Errorf("pgtest: %v", err)
	}
}

// Start runs the server again after Stop or Kill, with the data it had.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.cluster.start(s.t.Context()); err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}
}

// Standby returns a server that follows this one by streaming replication, with the same databases. This
// one is stopped for a moment, to be copied.
func (s *Server) Standby() *Server {
	s.t.Helper()
	s.Stop()
	given := maps.Clone(s.cluster.given)
	if given == nil {
		given = map[string]string{}
	}
	given["wal_keep_size"] = "1GB" // for a standby that is away for a while
	s.cluster.given = given
	c, err := s.cluster.standby()
	s.Start()
	if err == nil {
		err = c.start(s.t.Context())
	}
	if err != nil {
		s.t.Fatalf("pgtest: a standby: %v", err)
	}
	at, err := url.Parse(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	standby := &Server{cluster: c, Database: &Database{URL: c.url(strings.TrimPrefix(at.Path, "/")), t: s.t}}
	s.t.Cleanup(standby.Stop)
	return standby
}

// Pause lets a standby receive what is new without showing it, and returns when that is so.
func (s *Server) Pause() {
	s.t.Helper()
	s.command(`SELECT pg_wal_replay_pause()`)
	for state := ""; state != "paused"; time.Sleep(time.Millisecond) {
		if err := s.cluster.admin.Get(&state, `SELECT pg_get_wal_replay_pause_state()`); err != nil {
			s.t.Fatalf("pgtest: %v", err)
		}
	}
}

// Resume ends a pause.
func (s *Server) Resume() {
	s.t.Helper()
	s.command(`SELECT pg_wal_replay_resume()`)
}

// Promote makes a standby a server of its own, and returns when it is one.
func (s *Server) Promote() {
	s.t.Helper()
	s.command(`SELECT pg_promote()`)
}

func (s *Server) command(query string) {
	s.t.Helper()
	if _, err := s.cluster.admin.Exec(query); err != nil { // at the end of a test too
		s.t.Fatalf("pgtest: %s: %v", query, err)
	}
}

var databases atomic.Int64

// create makes a database like the template. It is not dropped: that costs more than making it,
// and all go together in the end.
func (c *cluster) create(t testing.TB, template string) *Database {
	t.Helper()
	name := fmt.Sprintf("t%d_%s", databases.Add(1), simple(t.Name()))
	// Copying the files is twice as fast here as the default, to write them through the log.
	create := fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy`, pq.QuoteIdentifier(name), pq.QuoteIdentifier(template))
	if _, err := c.admin.ExecContext(t.Context(), create); err != nil {
		t.Fatalf("pgtest: make a database: %v", err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		if err := c.keep(); err != nil {
			t.Logf("pgtest: keep the database: %v", err)
			return
		}
		t.Logf("the database of this test is kept, look into it with\n\tgo run corridor/internal/pgtest/look %s %s", c.dir, name)
	})
	return &Database{URL: c.url(name), t: t}
}

// simple makes a part of a database name out of a test's name.
func simple(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
	return name[:min(len(name), 50)]
}

func openCounted(ctx context.Context, url string) (*sqlx.DB, error) {
	connector, err := postgres.Connector(url)
	if err != nil {
		return nil, err
	}
	return postgres.OpenConnector(ctx, counted(connector))
}
