package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"corridor/internal/postgres"
	"corridor/migrations"
)

// template is the migrated database of every cluster.
const template = "template_migrated"

// settings lose everything when the machine goes down and nothing when the server does.
var settings = map[string]string{
	"fsync":            "off",
	"full_page_writes": "off",
	"max_connections":  "400",
	"shared_buffers":   "64MB",
	"min_wal_size":     "32MB", // it may be memory
	"max_wal_size":     "256MB",
	"wal_compression":  "off",
	"autovacuum":       "off", // it would hold the template now and then
}

// cluster is a server in a directory of its own, and connections to make databases with.
type cluster struct {
	dir    string
	given  map[string]string // settings of its own
	alive  *os.File          // locked while this process lives
	life   *os.File          // see removeWithUs
	server *postgres.Server
	admin  *sqlx.DB
}

var process struct {
	sync.Once
	cluster *cluster
	err     error
}

// shared is the cluster of this process.
func shared(t testing.TB) *cluster {
	t.Helper()
	process.Do(func() { process.cluster, process.err = newCluster(context.Background(), nil) })
	if process.err != nil {
		t.Fatalf("pgtest: %v", process.err)
	}
	return process.cluster
}

func newCluster(ctx context.Context, given map[string]string) (*cluster, error) {
	home, err := homeDir()
	if err != nil {
		return nil, err
	}
	prepared, err := preparedDir(home)
	if err != nil {
		return nil, err
	}
	c, err := copyPrepared(ctx, home, prepared)
	if err == nil {
		c.given = given
		if err = c.start(ctx); err == nil {
			return c, nil
		}
		// Perhaps it was prepared by a PostgreSQL that is gone from this machine.
		if err = os.RemoveAll(prepared); err == nil {
			if c, err = copyPrepared(ctx, home, prepared); err == nil {
				c.given = given
				err = c.start(ctx)
			}
		}
	}
	return c, err
}

func (c *cluster) start(ctx context.Context) (err error) {
	all := maps.Clone(settings)
	maps.Copy(all, c.given)
	c.server, err = postgres.Start(ctx, postgres.ServerOptions{Dir: c.dir, Settings: all})
	if err != nil || c.admin != nil {
		return err
	}
	c.admin, err = postgres.Open(ctx, c.url("postgres"))
	return err
}

func (c *cluster) url(database string) string {
	u, err := url.Parse(c.server.URL())
	if err != nil {
		panic(err)
	}
	u.Path = "/" + database
	return u.String()
}

// kill kills the server with all its processes, as the kernel does when the memory is gone.
func (c *cluster) kill(ctx context.Context) error {
	content, err := os.ReadFile(filepath.Join(c.dir, "pgdata", "postmaster.pid"))
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	postmaster, err := strconv.Atoi(line)
	if err != nil {
		return err
	}
	var pids []int
	if err := c.admin.SelectContext(ctx, &pids, `SELECT pid FROM pg_stat_activity`); err != nil {
		return err
	}
	// The postmaster first, who would replace the others.
	for _, pid := range append([]int{postmaster}, pids...) {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
	<-c.server.Done()
	return nil
}

func (c *cluster) keep() error {
	return os.WriteFile(filepath.Join(c.dir, "kept"), nil, 0o600)
}

// preparedDir is where the cluster for these migrations is, or will be.
func preparedDir(home string) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, os.Getenv("PG_BINDIR"))
	err := fs.WalkDir(migrations.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations.Files, name)
		fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
		return err
	})
	return filepath.Join(home, "prepared-"+hex.EncodeToString(hash.Sum(nil)[:8])), err
}

// copyPrepared makes the directory of a new cluster. One process at a time does it, so the first
// one prepares and the others find what it left.
func copyPrepared(ctx context.Context, home, prepared string) (*cluster, error) {
	turn, err := lock(filepath.Join(home, "turn"), true)
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	sweep(home)
	if err := prepare(ctx, prepared); err != nil {
		return nil, fmt.Errorf("prepare a database: %w", err)
	}
	return copyOf(prepared)
}

// copyOf makes the directory of a new cluster beside that of a server that does not run.
func copyOf(stopped string) (*cluster, error) {
	dir, err := os.MkdirTemp(filepath.Dir(stopped), program()+"-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir}
	if c.alive, err = lock(filepath.Join(dir, "alive"), false); err != nil {
		return nil, err
	}
	if c.life, err = removeWithUs(dir); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "pgdata")
	err = os.CopyFS(data, os.DirFS(filepath.Join(stopped, "pgdata")))
	return c, errors.Join(err, os.Chmod(data, 0o700), os.Chmod(dir, dirMode()))
}

// standby makes a standby of the cluster, whose server must not run.
func (c *cluster) standby() (*cluster, error) {
	copied, err := copyOf(c.dir)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(c.server.URL())
	if err != nil {
		return nil, err
	}
	copied.given = maps.Clone(c.given)
	copied.given["primary_conninfo"] = fmt.Sprintf("host=%s port=%s user=%s", at.Query().Get("host"), at.Query().Get("port"), at.User.Username())
	return copied, os.WriteFile(filepath.Join(copied.dir, "pgdata", "standby.signal"), nil, 0o600)
}

func prepare(ctx context.Context, prepared string) error {
	now := time.Now()
	if err := os.Chtimes(prepared, now, now); err == nil {
		return nil // and the sweeper sees that it is in use
	}
	fresh, err := os.MkdirTemp(filepath.Dir(prepared), filepath.Base(prepared)+".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	if err := os.Chmod(fresh, dirMode()); err != nil {
		return err
	}
	c := &cluster{dir: fresh}
	if err := c.start(ctx); err != nil {
		return err
	}
	err = func() error {
		defer c.admin.Close()
		if _, err := c.admin.ExecContext(ctx, `CREATE DATABASE `+template); err != nil {
			return err
		}
		db, err := postgres.Open(ctx, c.url(template))
		if err != nil {
			return err
		}
		defer db.Close()
		if err := postgres.Migrate(ctx, db, migrations.Files, nil); err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, `ANALYZE`)
		return err
	}()
	if err := errors.Join(err, c.server.Stop(ctx)); err != nil {
		return err
	}
	return os.Rename(fresh, prepared)
}

// sweep removes what ended processes left: clusters nobody keeps, kept ones that a new run of the
// same tests replaces, and everything a day old.
func sweep(home string) {
	entries, _ := os.ReadDir(home)
	for _, entry := range entries {
		dir := filepath.Join(home, entry.Name())
		info, err := entry.Info()
		if err != nil || !entry.IsDir() {
			continue
		}
		old := time.Since(info.ModTime()) > 24*time.Hour
		if !strings.HasPrefix(entry.Name(), "prepared-") {
			_, err := os.Stat(filepath.Join(dir, "kept"))
			old = old || err != nil || strings.HasPrefix(entry.Name(), program()+"-")
			for _, name := range []string{"alive", "owner"} {
				held, err := lock(filepath.Join(dir, name), false)
				if err != nil {
					old = false
				} else {
					held.Close()
				}
			}
		}
		if old {
			_ = os.RemoveAll(dir)
		}
	}
}

// program is the test binary, one per package.
func program() string {
	return simple(filepath.Base(os.Args[0]))
}

// removeWithUs has the directory removed when this process ends, however that happens: a shell
// waits for the end of a pipe that only we hold. Where the server does not notice by itself that
// we are gone, the shell tells it.
func removeWithUs(dir string) (life *os.File, err error) {
	const script = `read -r nothing
		pid=$(head -n 1 "$1/pgdata/postmaster.pid" 2>/dev/null)
		while [ -n "$pid" ] && [ -e "$1/pgdata/postmaster.pid" ] && kill -INT "$pid" 2>/dev/null; do sleep 0.1; done
		[ -e "$1/kept" ] || rm -rf "$1"`
	read, life, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	shell := exec.Command("sh", "-c", script, "sh", dir)
	shell.Dir = "/"
	shell.Stdin = read
	shell.SysProcAttr = apart()
	return life, shell.Start()
}
