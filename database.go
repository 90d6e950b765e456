package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"corridor/internal/chat"
	"corridor/internal/eventlog"
	"corridor/internal/postgres"
	"corridor/migrations"
)

// startTime bounds the start of our own PostgreSQL: the first one may have to fetch it.
const startTime = 5 * time.Minute

// database is an open database, and the server that it is in if that is our own.
type database struct {
	*sqlx.DB
	// url is complete.
	url    string
	report func(line string)
	dir    string

	mu     sync.Mutex
	server *postgres.Server
}

// openDatabase opens the database of the settings and starts it if it is our own. Close must be called.
func openDatabase(ctx context.Context, settings databaseSettings, report func(line string)) (*database, error) {
	d := &database{url: settings.DatabaseURL, dir: settings.DataDir, report: report}
	if settings.own() {
		server, err := d.start(ctx)
		if err != nil {
			return nil, err
		}
		d.server, d.url = server, server.URL()
	}
	var err error
	if d.url, err = postgres.Complete(d.url); err == nil {
		d.DB, err = postgres.Open(ctx, d.url)
	}
	if err != nil {
		d.stop(ctx)
		if !settings.own() {
			err = unreachable(d.url, err)
		}
		return nil, err
	}
	return d, nil
}

// unreachable says of an error what to do about the database of a URL. It does not repeat the URL,
// in which a password may stand.
func unreachable(written string, err error) error {
	at, bad := url.Parse(written)
	if bad != nil {
		return err
	}
	host := cmp.Or(at.Host, at.Query().Get("host"), os.Getenv("PGHOST"), "localhost")
	name := strings.TrimPrefix(at.Path, "/")
	code, _ := postgres.Code(err)
	what := ""
	switch resolve, refused, file := new(net.DNSError), new(pq.Error), new(fs.PathError); {
	case errors.As(err, &file):
		return fmt.Errorf("DATABASE_URL (--database-url): %w", file)
	case errors.As(err, &resolve):
		what = fmt.Sprintf("there is no host %s: correct the address", resolve.Name)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		what = fmt.Sprintf("no PostgreSQL answers at %s: start it, or correct the address", host)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		what = fmt.Sprintf("no PostgreSQL answers at %s in time: is the address right, and open to this machine?", host)
	case errors.Is(err, pq.ErrSSLNotSupported):
		what = fmt.Sprintf("the PostgreSQL at %s has no TLS: set it up there, or add sslmode=disable if nobody listens on the way", host)
	case code == "3D000":
		what = fmt.Sprintf("there is no database %s at %s: make it with createdb, or correct the name", name, host)
	case strings.HasPrefix(code, "28") && errors.As(err, &refused):
		what = fmt.Sprintf("the PostgreSQL at %s does not let us in (%s): correct the user or the password", host, refused.Message)
	default:
		return fmt.Errorf("DATABASE_URL (--database-url): %w", err)
	}
	return fmt.Errorf("DATABASE_URL (--database-url): %s", what)
}

func (d *database) start(ctx context.Context) (*postgres.Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	server, err := postgres.Start(ctx, postgres.ServerOptions{Dir: d.dir, Report: d.report})
	switch directory, path := (postgres.DirectoryError{}), new(fs.PathError); {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("this user may not write in %s, which may be another user's: choose another directory with CORRIDOR_DATA_DIR (--data-dir)", d.dir)
	case errors.As(err, &directory), errors.As(err, &path):
		return nil, fmt.Errorf("CORRIDOR_DATA_DIR (--data-dir): %w", err)
	}
	return server, err
}

// keep starts our own PostgreSQL again whenever it ends, until ctx does: it may have crashed, or
// been the one of another process of ours that has ended.
func (d *database) keep(ctx context.Context) error {
	for d.server != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-d.server.Done():
		}
		d.report("PostgreSQL has ended, starting it again")
		d.stop(ctx) // lets go of the directory
		server, err := d.start(ctx)
		former := d.server
		if err == nil {
			d.mu.Lock()
			d.server = server // also if ctx has ended: somebody must stop it
			d.mu.Unlock()
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("PostgreSQL has ended: %w", err)
		}
		if server.URL() != former.URL() {
			return fmt.Errorf("PostgreSQL has ended, and came back at another address: start Corridor again")
		}
	}
	return nil
}

// stop ends our own PostgreSQL.
func (d *database) stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return nil
	}
	return d.server.Stop(ctx)
}

// migrate brings the database up to date.
func (d *database) migrate(ctx context.Context, report func(line string)) error {
	err := postgres.Migrate(ctx, d.DB, migrations.Files, report)
	if code, _ := postgres.Code(err); code == "42501" {
		return fmt.Errorf("DATABASE_URL (--database-url): its user may not make tables there: make it the owner of the database (%w)", err)
	}
	return err
}

// pending counts the migrations that the database lacks.
func (d *database) pending(ctx context.Context) (int, error) {
	return postgres.Pending(ctx, d.DB, migrations.Files)
}

// close ends the connections, and our own PostgreSQL.
func (d *database) close(ctx context.Context) error {
	d.Close()
	return d.stop(ctx)
}

// openQuietly opens the database for a command that does one thing: it tells only of what takes
// long, the first time.
func openQuietly(ctx context.Context, settings databaseSettings, stderr io.Writer) (*database, error) {
	report := func(string) {}
	if !settings.exists() {
		report = func(line string) { fmt.Fprintln(stderr, line) }
	}
	return openDatabase(ctx, settings, report)
}

// withChat opens the chat for a command that does one thing with it. Our own database is brought
// up to date for it; another one is not changed on the way.
func withChat(settings databaseSettings, stderr io.Writer, do func(ctx context.Context, service *chat.Service) error) error {
	ctx := context.Background()
	d, err := openQuietly(ctx, settings, stderr)
	if err != nil {
		return err
	}
	defer d.close(ctx) //nolint:errcheck // it recovers at the next start
	if settings.own() {
		err = d.migrate(ctx, nil)
	} else if missing, pendingErr := d.pending(ctx); pendingErr != nil {
		err = pendingErr
	} else if missing > 0 {
		err = errors.New("the database is not up to date: bring it there first with `corridor migrate`")
	}
	if err != nil {
		return err
	}
	logger := slog.New(slog.DiscardHandler)
	// Who follows the log hears of it without us: we only write to it.
	return do(ctx, chat.New(d.DB, eventlog.New(d.DB, nil, nil, logger), logger))
}

// withOldChat is withChat for commands that make no sense without a clinic: they do not make a
// database where there is none.
func withOldChat(settings databaseSettings, stderr io.Writer, do func(ctx context.Context, service *chat.Service) error) error {
	if !settings.exists() {
		return fmt.Errorf("there is no database in %s yet: start the server first, or name another directory in CORRIDOR_DATA_DIR (--data-dir)", settings.DataDir)
	}
	return withChat(settings, stderr, do)
}

type migrateCommand struct {
	databaseSettings
}

// Run migrates.
func (c *migrateCommand) Run(streams streams) error {
	if err := c.check(); err != nil {
		return err
	}
	ctx := context.Background()
	d, err := openQuietly(ctx, c.databaseSettings, streams.stderr)
	if err != nil {
		return err
	}
	defer d.close(ctx) //nolint:errcheck // it recovers at the next start
	steps := 0
	err = d.migrate(ctx, func(line string) {
		steps++
		fmt.Fprintln(streams.stdout, line)
	})
	if err == nil && steps == 0 {
		fmt.Fprintln(streams.stdout, "nothing to do: the database is up to date")
	}
	return err
}
