package eventlog

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/ngrok/sqlmw"

	"corridor/internal/pgtest"
	"corridor/internal/postgres"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

var (
	testSecret = bytes.Repeat([]byte("k"), 32)
	testKey    = newCursorKey(testSecret)
)

// world is a database with a log in it, and processes that share it.
type world struct {
	t        *testing.T
	database *pgtest.Database
	db       *sqlx.DB // of those who write
}

func newWorld(t *testing.T) *world {
	t.Helper()
	database := pgtest.New(t)
	return &world{t: t, database: database, db: database.Open()}
}

// still is a process that numbers and reads only when it is told to. Its followers give a sign of
// life as soon as there is nothing to deliver.
func (w *world) still() *Log {
	w.t.Helper()
	l := New(w.database.Open(), ByPostgres(w.db, w.database.URL), testSecret, slog.New(slog.DiscardHandler))
	l.heartbeat = 0
	return l
}

// running is a process that does its work until the test ends. Its followers hear nothing but
// events.
func (w *world) running() *Log {
	w.t.Helper()
	l := New(w.database.Open(), ByPostgres(w.db, w.database.URL), testSecret, slog.New(slog.DiscardHandler))
	l.heartbeat = time.Hour
	w.runs(l)
	return l
}

func (w *world) runs(l *Log) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Run(ctx); !errors.Is(err, context.Canceled) {
			w.t.Errorf("it ended with %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

// interrupted is still, but before each of its statements something else happens. Its connections
// bear the name interrupted.
func (w *world) interrupted(between func(query string)) *Log {
	w.t.Helper()
	connector, err := postgres.Connector(w.database.URL + "&application_name=interrupted")
	if err != nil {
		w.t.Fatal(err)
	}
	wrapped, err := sqlmw.Driver(fixed{connector}, interrupting{before: between}).(driver.DriverContext).OpenConnector("")
	if err != nil {
		w.t.Fatal(err)
	}
	l := w.still()
	if l.db, err = postgres.OpenConnector(w.t.Context(), wrapped); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.db.Close() })
	return l
}

// interrupting runs something before each statement.
type interrupting struct {
	sqlmw.NullInterceptor
	before func(query string)
}

func (i interrupting) ConnQueryContext(ctx context.Context, conn driver.QueryerContext, query string, args []driver.NamedValue) (context.Context, driver.Rows, error) {
	i.before(query)
	rows, err := conn.QueryContext(ctx, query, args)
	return ctx, rows, err
}

func (i interrupting) ConnExecContext(ctx context.Context, conn driver.ExecerContext, query string, args []driver.NamedValue) (driver.Result, error) {
	i.before(query)
	return conn.ExecContext(ctx, query, args)
}

// fixed is a driver that knows one connector, because sqlmw wraps drivers.
type fixed struct{ driver.Connector }

func (f fixed) Open(string) (driver.Conn, error)               { return f.Connect(context.Background()) }
func (f fixed) OpenConnector(string) (driver.Connector, error) { return f.Connector, nil }

func (w *world) inTx(do func(ctx context.Context, tx *sqlx.Tx) error) error {
	return postgres.InTx(w.t.Context(), w.db, func(tx *sqlx.Tx) error { return do(w.t.Context(), tx) })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	_, err := w.db.Exec(query, args...)
	w.must(err)
}

func (w *world) streams(n int) (numbers []int64) {
	w.t.Helper()
	w.must(w.inTx(func(ctx context.Context, tx *sqlx.Tx) (err error) {
		numbers, err = NewStreams(ctx, tx, n)
		return err
	}))
	return numbers
}

func (w *world) stream() int64 {
	w.t.Helper()
	return w.streams(1)[0]
}

// private is a stream that the reader sees from its beginning.
func (w *world) private(reader uuid.UUID) int64 {
	w.t.Helper()
	var numbers []int64
	w.must(w.inTx(func(ctx context.Context, tx *sqlx.Tx) (err error) {
		numbers, err = NewPrivateStreams(ctx, tx, []uuid.UUID{reader})
		return err
	}))
	return numbers[0]
}

// appends commits an event. Nobody is told.
func (w *world) appends(event Event) Event {
	w.t.Helper()
	w.must(w.inTx(func(ctx context.Context, tx *sqlx.Tx) (err error) {
		event, err = Append(ctx, tx, event)
		return err
	}))
	return event
}

// appendsAll commits many events at once.
func (w *world) appendsAll(events ...Event) []Event {
	w.t.Helper()
	w.must(w.inTx(func(ctx context.Context, tx *sqlx.Tx) (err error) {
		events, err = AppendAll(ctx, tx, events)
		return err
	}))
	return events
}

// says appends plain events of the given kinds to the stream.
func (w *world) says(stream int64, kinds string) {
	w.t.Helper()
	for kind := range strings.FieldsSeq(kinds) {
		w.appends(Event{Stream: stream, Kind: kind})
	}
}

func (w *world) opens(stream int64, kind string, readers ...uuid.UUID) Event {
	w.t.Helper()
	return w.appends(Event{Stream: stream, Kind: kind, Opens: readers})
}

func (w *world) closes(stream int64, kind string, readers ...uuid.UUID) Event {
	w.t.Helper()
	return w.appends(Event{Stream: stream, Kind: kind, Closes: readers})
}

// numbers gives places in the feed to all that is committed.
func (w *world) numbers(l *Log) {
	w.t.Helper()
	for {
		n, err := l.number(w.t.Context())
		w.must(err)
		if n == 0 {
			return
		}
	}
}

// refreshes lets a process read what is new.
func (w *world) refreshes(l *Log) {
	w.t.Helper()
	for more := true; more; {
		var err error
		more, err = l.refresh(w.t.Context())
		w.must(err)
	}
}

// spans is what a reader may see of a stream, as 1-3 5-.
func (w *world) spans(reader uuid.UUID, stream int64) string {
	w.t.Helper()
	const query = `
		SELECT from_seq AS from, to_seq AS to FROM spans WHERE reader = $1 AND stream = $2 ORDER BY from_seq`
	var found []struct{ From, To int64 }
	w.must(w.db.Select(&found, query, reader, stream))
	parts := make([]string, len(found))
	for i, span := range found {
		parts[i] = fmt.Sprint(span.From, "-")
		if span.To != openEnd {
			parts[i] += fmt.Sprint(span.To)
		}
	}
	return strings.Join(parts, " ")
}

// ear is a reader who follows.
type ear struct {
	w *world
	*Follower
	bell   chan struct{}
	cursor string
}

// follows begins to read and takes the first sign of life, which has to be no reset.
func (w *world) follows(l *Log, reader uuid.UUID, after string) *ear {
	w.t.Helper()
	e := w.resumes(l, reader, after)
	if e.reset {
		w.t.Fatal("the stream was reset")
	}
	first := e.next()
	if first.Event != nil || first.Reset {
		w.t.Fatalf("the first delivery is %+v", first)
	}
	return e
}

// resumes begins to read and takes nothing yet.
func (w *world) resumes(l *Log, reader uuid.UUID, after string) *ear {
	w.t.Helper()
	e, err := w.begins(l, reader, after)
	w.must(err)
	w.t.Cleanup(e.Close)
	return e
}

func (w *world) begins(l *Log, reader uuid.UUID, after string) (*ear, error) {
	e := &ear{w: w, bell: make(chan struct{}, 1), cursor: after}
	var err error
	e.Follower, err = l.Follow(w.t.Context(), reader, after, func() { ring(e.bell) })
	return e, err
}

// Next waits for the next delivery, until ctx ends.
func (e *ear) Next(ctx context.Context) (Delivery, error) {
	for {
		delivery, ok, again, err := e.Poll(ctx)
		if ok || err != nil {
			return delivery, err
		}
		select {
		case <-ctx.Done():
		case <-e.bell:
		case <-time.After(again):
		}
	}
}

// next is the next delivery.
func (e *ear) next() Delivery {
	e.w.t.Helper()
	ctx, cancel := context.WithTimeout(e.w.t.Context(), patience)
	defer cancel()
	delivery, err := e.Next(ctx)
	e.w.must(err)
	e.cursor = delivery.Cursor
	return delivery
}

// hears is the kinds of all events that are there, without waiting. The process has to be a still
// one.
func (e *ear) hears() string {
	e.w.t.Helper()
	var kinds []string
	for {
		delivery := e.next()
		switch {
		case delivery.Reset:
			kinds = append(kinds, "RESET")
		case delivery.Event == nil:
			return strings.Join(kinds, " ")
		default:
			kinds = append(kinds, delivery.Event.Kind)
		}
	}
}

// awaits is the kinds of the next n events.
func (e *ear) awaits(n int) string {
	e.w.t.Helper()
	var kinds []string
	for len(kinds) < n {
		if delivery := e.next(); delivery.Event != nil {
			kinds = append(kinds, delivery.Event.Kind)
		}
	}
	return strings.Join(kinds, " ")
}

// eventually waits until something is so.
func (w *world) eventually(what string, so func() bool) {
	w.t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	enough := time.After(patience)
	for !so() {
		select {
		case <-look.C:
		case <-enough:
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// check compares what was seen with what was expected.
func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
