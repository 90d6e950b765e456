package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// migrationLock is the number that all instances agree on, the word "corridor" in ASCII.
const migrationLock int64 = 0x636f727269646f72

// Migrate brings the database up to date and reports each step. Any number of instances may call
// it at the same moment: one works, the others wait and find nothing to do. A step that fails
// leaves no trace and can be tried again.
func Migrate(ctx context.Context, db *sqlx.DB, migrations fs.FS, report func(line string)) error {
	steps, err := goose.NewProvider(goose.DialectPostgres, db.DB, migrations)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	unlock, err := lockMigrations(ctx, db)
	if err != nil {
		return fmt.Errorf("lock the migrations: %w", err)
	}
	defer unlock()

	results, err := steps.Up(ctx)
	var partly *goose.PartialError
	if errors.As(err, &partly) {
		results = partly.Applied
	}
	for _, result := range results {
		if report != nil {
			report(fmt.Sprintf("migrated %s in %s", result.Source.Path, result.Duration.Round(time.Millisecond)))
		}
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// lockMigrations holds the lock on a connection of its own. It asks again and again instead of
// blocking: a statement that waits holds a snapshot, and CREATE INDEX CONCURRENTLY in a migration
// would wait for that snapshot, for ever and unseen by the deadlock detector.
func lockMigrations(ctx context.Context, db *sqlx.DB) (unlock func(), err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for again := time.NewTicker(50 * time.Millisecond); ; {
		var locked bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, migrationLock).Scan(&locked); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if locked {
			again.Stop()
			return func() { unlockMigrations(ctx, conn) }, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), conn.Close())
		}
	}
}

// unlockMigrations gives the lock back, with the connection if it must be.
func unlockMigrations(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, migrationLock); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	conn.Close()
}

// Pending counts the migrations that the database still lacks. It changes nothing.
func Pending(ctx context.Context, db *sqlx.DB, migrations fs.FS) (int, error) {
	steps, err := goose.NewProvider(goose.DialectPostgres, db.DB, migrations)
	if err != nil {
		return 0, fmt.Errorf("read the migrations: %w", err)
	}
	pending := map[int64]bool{}
	for _, source := range steps.ListSources() {
		pending[source.Version] = true
	}
	var begun bool
	if err := db.GetContext(ctx, &begun, `SELECT to_regclass($1) IS NOT NULL`, goose.DefaultTablename); err != nil {
		return 0, fmt.Errorf("count pending migrations: %w", err)
	}
	if !begun {
		return len(pending), nil
	}
	var applied []int64
	const query = `SELECT version_id FROM ` + goose.DefaultTablename + ` WHERE is_applied`
	if err := db.SelectContext(ctx, &applied, query); err != nil {
		return 0, fmt.Errorf("count pending migrations: %w", err)
	}
	for _, version := range applied {
		delete(pending, version)
	}
	return len(pending), nil
}
