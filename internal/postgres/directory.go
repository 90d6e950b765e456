package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// checkDir refuses a directory whose content was not made here, before anything is touched.
func (o ServerOptions) checkDir() error {
	if _, err := os.Stat(filepath.Join(o.Dir, "PG_VERSION")); err == nil {
		return errors.New("it is the data directory of another PostgreSQL; choose an empty or new directory")
	}
	if _, err := os.Stat(filepath.Join(o.data(), "PG_VERSION")); err == nil {
		return nil
	}
	entries, err := os.ReadDir(o.data())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s has files in it but is no PostgreSQL data directory; move it away or choose another directory", o.data())
	}
	return nil
}

// initialise makes the data directory beside its place and moves it there when it is whole, so
// that a crash half way leaves nothing that looks like one.
func (o ServerOptions) initialise(ctx context.Context, bin string, as *account) error {
	if _, err := os.Stat(filepath.Join(o.data(), "PG_VERSION")); err == nil {
		return nil
	}
	o.report("creating a database in %s", o.Dir)
	fresh := filepath.Join(o.Dir, "pgdata.init") // ours alone: we hold the lock
	var refused error
	// Order by byte value, which no update of the system changes, but letters of all languages.
	// Systems differ in what they call that.
	for _, letters := range []string{"C.UTF-8", "en_US.UTF-8", "C"} {
		if err := os.RemoveAll(fresh); err != nil {
			return err
		}
		if err := os.Mkdir(fresh, 0o700); err != nil {
			return err
		}
		if err := as.own(fresh); err != nil {
			return err
		}
		initdb := command(ctx, as, filepath.Join(bin, "initdb"), "--pgdata", fresh,
			"--username", superuser, "--auth", "trust", "--encoding", "UTF8",
			"--locale", "C", "--lc-ctype", letters, "--no-instructions", "--no-sync")
		out, err := output(initdb)
		if err == nil {
			return o.finish(ctx, bin, fresh, as)
		}
		refused = fmt.Errorf("initdb: %w: %s", err, lastLines(out))
	}
	return refused
}

// finish makes our database while nobody can see the server yet, so that whoever attaches finds
// it, and writes everything to the disk once.
func (o ServerOptions) finish(ctx context.Context, bin, fresh string, as *account) error {
	single := command(ctx, as, filepath.Join(bin, "postgres"), "--single", "-F", "-j", "-D", fresh, "postgres")
	single.Stdin = strings.NewReader("CREATE DATABASE " + database + " STRATEGY file_copy;\n\n")
	out, err := output(single)
	if err == nil && bytes.Contains(out, []byte("ERROR")) {
		err = errors.New("refused")
	}
	if err != nil {
		return fmt.Errorf("create the database: %w: %s", err, lastLines(out))
	}
	if o.Settings["fsync"] != "off" {
		sync := command(ctx, as, filepath.Join(bin, "initdb"), "--sync-only", "--pgdata", fresh)
		if out, err := output(sync); err != nil {
			return fmt.Errorf("initdb: %w: %s", err, lastLines(out))
		}
	}
	_ = os.Remove(o.data()) // it may be there, empty
	return os.Rename(fresh, o.data())
}

// socketDir is in the directory, unless that makes the path longer than a socket's can be.
func (o ServerOptions) socketDir(as *account) (string, error) {
	const longest = 103 // macOS; Linux has 107
	dir := filepath.Join(o.Dir, "socket")
	if len(filepath.Join(dir, ".s.PGSQL."+port)) > longest {
		hash := sha256.Sum256([]byte(o.Dir))
		dir = filepath.Join(os.TempDir(), "corridor-"+hex.EncodeToString(hash[:8]))
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if err := as.own(dir); err != nil {
		return "", err
	}
	return dir, as.private(dir)
}
