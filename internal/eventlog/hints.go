package eventlog

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/nats-io/nats.go"
)

// Carrier takes hints from one process of a database to the others. Hints may be lost, and hold
// numbers only.
type Carrier interface {
	// Send gives others a hint. The process may hear it itself.
	Send(ctx context.Context, hint string) error
	// Listen calls heard for each hint, and with an empty one whenever some may have been missed, until
	// ctx ends. What goes wrong meanwhile it lives through, and tells complain.
	Listen(ctx context.Context, heard func(hint string), complain func(error))
}

const (
	hintChannel = "corridor_events"
	// maxHint is below what NOTIFY carries (8,000 bytes).
	maxHint = 7500
)

// ByPostgres carries hints by NOTIFY in the database itself. The URL is all that lib/pq needs for a
// connection of its own to it.
func ByPostgres(db *sqlx.DB, url string) Carrier { return &postgresCarrier{db, url} }

type postgresCarrier struct {
	db  *sqlx.DB
	url string
}

func (c *postgresCarrier) Send(ctx context.Context, hint string) error {
	// Nothing is lost with a hint, so this one transaction need not wait for the disk.
	const query = `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`
	_, err := c.db.ExecContext(ctx, query, hintChannel, hint)
	return err
}

func (c *postgresCarrier) Listen(ctx context.Context, heard func(hint string), complain func(error)) {
	listener := pq.NewListener(c.url, 50*time.Millisecond, 5*time.Second, func(_ pq.ListenerEventType, err error) {
		if err != nil {
			complain(err)
		}
	})
	// Nobody waits for an attempt to connect, which Close does, and the listener ends only when
	// somebody takes what it has heard.
	defer func() {
		go func() {
			_ = listener.Close()
			for range listener.Notify {
			}
		}()
	}()
	// Listen waits for the first connection; the poll does the work until then.
	go func() {
		if err := listener.Listen(hintChannel); err != nil {
			complain(err)
		}
	}()
	alive := time.NewTicker(20 * time.Second)
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case hint := <-listener.Notify:
			if hint == nil { // the connection was lost and is back
				heard("")
			} else {
				heard(hint.Extra)
			}
		case <-alive.C:
			go listener.Ping() //nolint:errcheck // a dead connection is reported to the callback above
		}
	}
}

// ByNATS carries hints by NATS, where the processes are too many for NOTIFY or a pooler stands
// between them and Postgres. The servers are URLs, separated by commas; the key, the same for all
// processes, keeps databases apart that share them. It does not wait for a connection: the error is
// about the URLs.
func ByNATS(servers string, key []byte) (Carrier, error) {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("hints"))
	c := &natsCarrier{subject: "corridor.hints." + hex.EncodeToString(mac.Sum(nil)[:8]), news: make(chan error, 1)}
	missed := func(err error) {
		select {
		case c.news <- err:
		default: // there is news already
		}
	}
	var err error
	c.conn, err = nats.Connect(servers, nats.Name("corridor"), nats.NoEcho(), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectBufSize(-1), nats.PingInterval(10*time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { missed(err) }),
		nats.ReconnectHandler(func(*nats.Conn) { missed(nil) }),
		nats.ConnectHandler(func(*nats.Conn) { missed(nil) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { missed(err) }))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return c, nil
}

type natsCarrier struct {
	conn    *nats.Conn
	subject string
	// news is that hints may have been missed, and why.
	news chan error
}

// errNoNATS is what an operator has to know.
var errNoNATS = errors.New("no NATS server answers: until one does, events of other instances come up to a quarter of a second later")

func (c *natsCarrier) Send(_ context.Context, hint string) error {
	if !c.conn.IsConnected() {
		return errNoNATS
	}
	return c.conn.Publish(c.subject, []byte(hint))
}

func (c *natsCarrier) Listen(ctx context.Context, heard func(hint string), complain func(error)) {
	defer c.conn.Close()
	connecting := time.AfterFunc(2*time.Second, func() {
		if !c.conn.IsConnected() {
			complain(errNoNATS)
		}
	})
	defer connecting.Stop()
	if _, err := c.conn.Subscribe(c.subject, func(hint *nats.Msg) { heard(string(hint.Data)) }); err != nil {
		complain(err)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-c.news:
			if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
				complain(err)
			}
			heard("")
		}
	}
}
