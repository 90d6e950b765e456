// Package postgres is everything between the program and its database: connections, transactions,
// migrations, and a PostgreSQL server of the program's own for whoever has none.
//
// It guarantees that no error of it contains a password, that a transaction is either committed or
// rolled back when its function returns, and that a data directory is never deleted.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Open connects to the database at url and makes sure that it answers. A URL without sslmode means
// TLS, except to this machine.
func Open(ctx context.Context, url string) (*sqlx.DB, error) {
	connector, err := Connector(url)
	if err != nil {
		return nil, err
	}
	return OpenConnector(ctx, connector)
}

// Connector reads url as Open does and connects to nothing yet.
func Connector(url string) (driver.Connector, error) { return connectorBy(url, nil) }

// connectorBy is Connector by way of a dialer, if there is one.
func connectorBy(url string, dialer pq.Dialer) (driver.Connector, error) {
	dsn, err := Complete(url)
	if err != nil {
		return nil, err
	}
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	if dialer != nil {
		connector.Dialer(dialer)
	}
	return preparing(connector), nil
}

// OpenConnector is Open for a connector that was wrapped, to watch what goes through it.
func OpenConnector(ctx context.Context, connector driver.Connector) (*sqlx.DB, error) {
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	size := max(16, 4*runtime.GOMAXPROCS(0))
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size) // with fewer, a burst would close and open connections all the time
	db.SetConnMaxLifetime(30 * time.Minute)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return db, nil
}

var errURL = errors.New("the database URL cannot be read: it looks like postgres://user:password@host:5432/name, with %XX for special characters in the password")

// Complete is the URL with all that Open adds to it, for whoever connects by themselves.
func Complete(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", errURL // not err, which quotes the URL and so the password
	}
	if u.Fragment != "" || strings.Contains(u.Path+u.RawQuery, "@") {
		return "", errURL // a password with / ? or # in it: what is behind that would be shown as something else
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errURL
	}
	if !query.Has("sslmode") && os.Getenv("PGSSLMODE") == "" {
		query.Set("sslmode", defaultSSLMode(u, query))
	}
	if !query.Has("application_name") {
		query.Set("application_name", "corridor")
	}
	if !query.Has("connect_timeout") && os.Getenv("PGCONNECT_TIMEOUT") == "" {
		query.Set("connect_timeout", "10") // a context alone does not end a handshake of lib/pq
	}
	query.Set("TimeZone", "UTC")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func defaultSSLMode(u *url.URL, query url.Values) string {
	host := u.Hostname()
	if host == "" {
		host = query.Get("host")
	}
	if host == "" {
		host = os.Getenv("PGHOST")
	}
	if path.IsAbs(host) || strings.HasPrefix(host, "@") { // sockets
		return "disable"
	}
	switch host {
	case "", "localhost", "127.0.0.1", "::1":
		return "disable"
	}
	return "require"
}

// InTx runs do in a transaction: committed when do returns nil, rolled back when it returns an
// error or panics.
func InTx(ctx context.Context, db *sqlx.DB, do func(tx *sqlx.Tx) error) error {
	return inTx(ctx, db, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, do)
}

// InSnapshot runs do in a transaction that sees one moment of the database and changes nothing.
func InSnapshot(ctx context.Context, db *sqlx.DB, do func(tx *sqlx.Tx) error) error {
	return inTx(ctx, db, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, do)
}

func inTx(ctx context.Context, db *sqlx.DB, options *sql.TxOptions, do func(tx *sqlx.Tx) error) error {
	tx, err := db.BeginTxx(ctx, options)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // does nothing after a commit
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// Violates says whether err is the refusal of a row by the constraint of that name.
func Violates(err error, constraint string) bool {
	state, name := Code(err)
	return strings.HasPrefix(state, "23") && name == constraint
}

// Deadlock tells whether Postgres ended the transaction because it and others waited for each other,
// could not be put in an order, or because it waited longer for a lock than it wanted to. It can be tried again.
func Deadlock(err error) bool {
	code, _ := Code(err)
	return code == "40P01" || code == "40001" || code == "55P03"
}

// Refused tells whether Postgres would not do what it was asked, and not that it was away or took too long.
func Refused(err error) bool {
	code, _ := Code(err)
	return code != "" && code != "57014" && !Unavailable(err)
}

// Unavailable tells whether the database could not be reached, or broke the connection off: it restarts, or another one takes
// over. Whether what was on its way was done is not known.
func Unavailable(err error) bool {
	if code, _ := Code(err); code != "" {
		// It shuts down, crashed, starts, has no connection left, or is a primary no more.
		return strings.HasPrefix(code, "08") || slices.Contains([]string{"57P01", "57P02", "57P03", "53300", "25006"}, code)
	}
	network := new(net.OpError)
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Code returns the SQLSTATE of an error of the server and the constraint it names, if any. Unlike
// the message both are safe to log: they contain nothing out of a row.
func Code(err error) (sqlstate, constraint string) {
	var refused *pq.Error
	if !errors.As(err, &refused) {
		return "", ""
	}
	return string(refused.Code), refused.Constraint
}
