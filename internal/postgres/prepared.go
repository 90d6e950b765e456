package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
)

// maxPrepared bounds the statements that one connection keeps, which cost memory in the server.
const maxPrepared = 200

// preparing makes connections that keep the statements they ran: a statement with arguments is
// planned once and costs one round trip from then on, and lib/pq by itself plans it each time, in two.
// Planning takes longer than running for most of ours, so Postgres is told not to do it again for other arguments, which it
// would where it believes that it gains something.
func preparing(connector driver.Connector) driver.Connector { return preparer{connector} }

type preparer struct{ driver.Connector }

func (p preparer) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	prepared := &preparedConn{pqConn: conn.(pqConn), statements: map[string]statement{}}
	// Not as a parameter of the connection, which poolers refuse.
	if _, err := prepared.ExecContext(ctx, `SET plan_cache_mode = force_generic_plan`, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return prepared, nil
}

// pqConn is all that a connection of lib/pq can do.
type pqConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type preparedConn struct {
	pqConn
	statements map[string]statement
}

func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 {
		return c.pqConn.QueryContext(ctx, query, args)
	}
	prepared, err := c.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := prepared.QueryContext(ctx, args)
	return rows, c.outlived(err)
}

func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return c.pqConn.ExecContext(ctx, query, args)
	}
	prepared, err := c.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := prepared.ExecContext(ctx, args)
	return result, c.outlived(err)
}

func (c *preparedConn) prepared(ctx context.Context, query string) (statement, error) {
	if prepared, ok := c.statements[query]; ok {
		return prepared, nil
	}
	if len(c.statements) >= maxPrepared {
		c.forget()
	}
	made, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	prepared := made.(statement)
	c.statements[strings.Clone(query)] = prepared
	return prepared, nil
}

// outlived forgets all statements after an error that a migration causes, or a pooler: the next
// attempt works.
func (c *preparedConn) outlived(err error) error {
	if code, _ := Code(err); code == "0A000" || code == "26000" {
		c.forget()
	}
	return err
}

func (c *preparedConn) forget() {
	for query, prepared := range c.statements {
		_ = prepared.Close() // the connection may be broken, and then has none
		delete(c.statements, query)
	}
}
