package pgtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"

	"github.com/ngrok/sqlmw"
)

// Counter counts statements.
type Counter struct {
	outer *Counter // sees everything too

	mu      sync.Mutex
	queries []string
}

type counterKey struct{}

// Count returns a context under which, and under all that are derived from it, the statements that
// go through connections of this package are counted: queries and commands, also prepared ones,
// each time they run. The beginning and end of transactions are not.
func Count(ctx context.Context) (context.Context, *Counter) {
	outer, _ := ctx.Value(counterKey{}).(*Counter)
	c := &Counter{outer: outer}
	return context.WithValue(ctx, counterKey{}, c), c
}

// Statements is how many there were until now.
func (c *Counter) Statements() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queries)
}

// Queries are their texts, in the order in which they began.
func (c *Counter) Queries() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.queries)
}

func count(ctx context.Context, query string, err error) {
	if errors.Is(err, driver.ErrSkip) { // the driver asks for it to be prepared; that one counts
		return
	}
	c, _ := ctx.Value(counterKey{}).(*Counter)
	for ; c != nil; c = c.outer {
		c.mu.Lock()
		c.queries = append(c.queries, query)
		c.mu.Unlock()
	}
}

// counted wraps the connections that connector makes.
func counted(connector driver.Connector) driver.Connector {
	wrapped := sqlmw.Driver(fixed{connector}, counting{}).(driver.DriverContext)
	made, err := wrapped.OpenConnector("")
	if err != nil {
		panic(err) // fixed has none
	}
	return made
}

// fixed is a driver that knows one connector, because sqlmw wraps drivers.
type fixed struct{ driver.Connector }

func (f fixed) Open(string) (driver.Conn, error) { return f.Connect(context.Background()) }

func (f fixed) OpenConnector(string) (driver.Connector, error) { return f.Connector, nil }

type counting struct{ sqlmw.NullInterceptor }

func (counting) ConnExecContext(ctx context.Context, conn driver.ExecerContext, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := conn.ExecContext(ctx, query, args)
	count(ctx, query, err)
	return result, err
}

func (counting) ConnQueryContext(ctx context.Context, conn driver.QueryerContext, query string, args []driver.NamedValue) (context.Context, driver.Rows, error) {
	rows, err := conn.QueryContext(ctx, query, args)
	count(ctx, query, err)
	return ctx, rows, err
}

func (counting) StmtExecContext(ctx context.Context, stmt driver.StmtExecContext, query string, args []driver.NamedValue) (driver.Result, error) {
	count(ctx, query, nil)
	return stmt.ExecContext(ctx, args)
}

func (counting) StmtQueryContext(ctx context.Context, stmt driver.StmtQueryContext, query string, args []driver.NamedValue) (context.Context, driver.Rows, error) {
	count(ctx, query, nil)
	rows, err := stmt.QueryContext(ctx, args)
	return ctx, rows, err
}
