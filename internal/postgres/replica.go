package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// catchUp is how long a reading waits for the replica. A standby that keeps up is a few
	// milliseconds behind; what takes longer than this is sooner read from the primary.
	catchUp = 25 * time.Millisecond
	// lookEvery is the pause between two looks at how far it has come.
	lookEvery = 2 * time.Millisecond
	// leftAlone is how long nobody waits for a replica that somebody waited for in vain, how long one is
	// left alone that failed, and how often it is asked whether it still is what it was.
	leftAlone = time.Second
	// silence is how long the replica may say nothing before it counts as lost. What takes it longer is
	// read from the primary too.
	silence = 2 * time.Second
)

// ErrAnotherDatabase says that what was called a replica is not one of this database.
var ErrAnotherDatabase = errors.New("it is no copy of this database")

var (
	errNoStandby       = errors.New("it is no standby")
	errAnotherServer   = errors.New("another server answers at its address")
	errAnotherTimeline = errors.New("its history is not, or not yet, that of the primary")
)

// Replica is a streaming standby of a database. It is read in place of the primary only if it has
// replayed all that was on the primary's disk when the reading began, so that nobody sees less by it than
// anybody was told before. Whatever goes wrong with it is read from the primary.
type Replica struct {
	primary *sqlx.DB
	url     string
	logger  *slog.Logger
	reads   *prometheus.CounterVec
	// fence asks how far the primary has come.
	fence together[place]
	// standby is nil as long as the replica is away.
	standby atomic.Pointer[standby]
	// complained is the last reason to be away that was logged.
	complained string
	// failed is for logging reads that fail, once in a while.
	failed rate.Sometimes
}

// place is a position in the history of a database.
type place struct {
	Timeline int64
	Position int64
}

// Where readings go. Those that failed on the replica were done again on the primary.
const (
	fromReplica = "replica"
	isBehind    = "behind"
	isAway      = "away"
	hasFailed   = "failed"
)

// OpenReplica returns the replica at url of the database primary. It need not be there yet; but if another
// database answers the error is ErrAnotherDatabase.
func OpenReplica(ctx context.Context, primary *sqlx.DB, url string, logger *slog.Logger) (*Replica, error) {
	if _, err := Connector(url); err != nil {
		return nil, err
	}
	r := &Replica{
		primary: primary, url: url, logger: logger, failed: rate.Sometimes{Interval: time.Minute},
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "corridor_replica_reads_total",
			Help: "Reads that may go to the replica: those that did (replica), and those of the primary because it was behind, was away or failed.",
		}, []string{"answer"}),
	}
	for _, answer := range []string{fromReplica, isBehind, isAway, hasFailed} {
		r.reads.WithLabelValues(answer)
	}
	r.fence.ask = func(ctx context.Context) (at place, err error) {
		// What was acknowledged is on the disk, so it is enough to replay that. The timeline is in the
		// name of the file that is being written.
		const query = `
			SELECT ('x' || lpad(left(pg_walfile_name(flushed), 8), 16, '0'))::bit(64)::bigint AS timeline, (flushed - '0/0')::bigint AS position
			FROM pg_current_wal_flush_lsn() AS flushed`
		return at, primary.GetContext(ctx, &at, query)
	}
	err := r.join(ctx)
	if errors.Is(err, ErrAnotherDatabase) {
		return nil, err
	}
	if err != nil {
		r.complain(ctx, err)
	}
	return r, nil
}

// Describe implements prometheus.Collector.
func (r *Replica) Describe(to chan<- *prometheus.Desc) { r.reads.Describe(to) }

// Collect implements prometheus.Collector.
func (r *Replica) Collect(to chan<- prometheus.Metric) { r.reads.Collect(to) }

// Run looks after the replica until ctx ends: it notices that it has become something else, and that
// it is back.
func (r *Replica) Run(ctx context.Context) error {
	every := time.NewTicker(leftAlone)
	defer every.Stop()
	defer func() { r.leave(r.standby.Load()) }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		s := r.standby.Load()
		var err error
		if s == nil {
			err = r.join(ctx)
		} else if err = r.check(ctx, s); err != nil {
			r.leave(s)
		}
		if err != nil && ctx.Err() == nil {
			r.complain(ctx, err)
		}
	}
}

// complain logs why the replica is away, once for each reason.
func (r *Replica) complain(ctx context.Context, err error) {
	reason := err.Error()
	if code, _ := Code(err); code != "" {
		reason = "SQLSTATE " + code
	}
	if reason != r.complained {
		r.complained = reason
		r.logger.WarnContext(ctx, "the replica is away: everything is read from the primary", "error", reason)
	}
}

// A Reading is one operation that reads. All of it is read from the same database, if that does not fail.
// The zero Reading has not begun.
type Reading struct {
	mu    sync.Mutex
	begun bool
	from  *standby // nil for the primary
	why   string
}

// Read runs do on the replica if that is far enough, otherwise or if that fails on the primary.
func (r *Replica) Read(ctx context.Context, reading *Reading, do func(db *sqlx.DB) error) error {
	from, why := reading.begin(ctx, r)
	if from == nil {
		r.reads.WithLabelValues(why).Inc()
		return do(r.primary)
	}
	err := do(from.DB)
	if err == nil || errors.Is(err, sql.ErrNoRows) || ctx.Err() != nil {
		r.reads.WithLabelValues(fromReplica).Inc()
		return err
	}
	if lost(err) {
		r.leave(from)
	}
	r.failed.Do(func() {
		state, _ := Code(err)
		r.logger.WarnContext(ctx, "a read of the replica failed and is done again on the primary", "sqlstate", state)
	})
	reading.turnBack()
	r.reads.WithLabelValues(hasFailed).Inc()
	return do(r.primary)
}

// begin decides where to read from, the first time.
func (reading *Reading) begin(ctx context.Context, r *Replica) (from *standby, why string) {
	reading.mu.Lock()
	defer reading.mu.Unlock()
	if !reading.begun {
		reading.from, reading.why = r.choose(ctx)
		reading.begun = true
	}
	return reading.from, reading.why
}

// turnBack has the rest read from the primary.
func (reading *Reading) turnBack() {
	reading.mu.Lock()
	defer reading.mu.Unlock()
	reading.from, reading.why = nil, hasFailed
}

// choose returns the standby if it holds all that is on the primary's disk now, otherwise why not.
func (r *Replica) choose(ctx context.Context) (from *standby, why string) {
	s := r.standby.Load()
	if s == nil {
		return nil, isAway
	}
	fence, err := r.fence.get(ctx)
	if err != nil { // of the primary: whoever reads from it will hear
		return nil, isAway
	}
	if fence.Timeline != s.timeline {
		r.leave(s)
		return nil, isAway
	}
	switch reached, err := s.reaches(ctx, fence.Position); {
	case err != nil:
		r.leave(s)
		return nil, isAway
	case !reached:
		return nil, isBehind
	}
	return s, ""
}

// lost tells whether an error is of the connection or the server, rather than of a statement.
func lost(err error) bool {
	code, _ := Code(err)
	for _, class := range []string{"08", "28", "3D", "53", "57P", "58", "XX"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return code == ""
}

// standby is one run of the server that is the replica. Of another run nothing is known.
type standby struct {
	*sqlx.DB
	timeline int64
	// replayed is how far it is known to have come: it only goes forward.
	replayed atomic.Int64
	// look asks how far it has come.
	look together[int64]
	// inVain is when somebody last waited for it in vain.
	inVain atomic.Pointer[time.Time]
}

// reaches tells whether the standby has replayed everything up to a position, and waits a moment for it
// unless somebody just did so in vain.
func (s *standby) reaches(ctx context.Context, position int64) (bool, error) {
	if s.replayed.Load() >= position {
		return true, nil
	}
	waiting, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for {
		replayed, err := s.look.get(waiting)
		if err != nil && waiting.Err() == nil {
			return false, err
		}
		if replayed >= position {
			s.inVain.Store(nil)
			return true, nil
		}
		if at := s.inVain.Load(); at != nil && time.Since(*at) < leftAlone {
			return false, nil
		}
		select {
		case <-waiting.Done():
			if now := time.Now(); ctx.Err() == nil {
				s.inVain.Store(&now)
			}
			return false, nil
		case <-time.After(lookEvery):
		}
	}
}

// identity is what a server says that it is.
type identity struct {
	Database  string
	Run       string
	IsStandby bool `db:"is_standby"`
	Timeline  int64
}

const identify = `
	SELECT system_identifier || ' ' || oid AS database, system_identifier || ' ' || oid || ' ' || pg_postmaster_start_time() AS run,
		pg_is_in_recovery() AS is_standby, GREATEST(timeline_id, min_recovery_end_timeline) AS timeline
	FROM pg_control_system(), pg_control_checkpoint(), pg_control_recovery(), pg_database
	WHERE datname = current_database()`

// join connects to the replica and makes sure that it is one.
func (r *Replica) join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*silence)
	defer cancel()
	connector, err := connectorBy(r.url, impatient{})
	if err != nil {
		return err
	}
	s := &standby{}
	// A new connection may be to a server that had to recover, and is not yet again where it was.
	db, err := OpenConnector(ctx, &oneServer{Connector: connector, connected: func() { s.replayed.Store(0) }})
	if err != nil {
		return err
	}
	s.DB = db
	s.look.ask = func(ctx context.Context) (int64, error) {
		var now struct {
			IsStandby bool `db:"is_standby"`
			Position  int64
		}
		const query = `SELECT pg_is_in_recovery() AS is_standby, COALESCE((pg_last_wal_replay_lsn() - '0/0')::bigint, 0) AS position`
		if err := db.GetContext(ctx, &now, query); err != nil {
			return 0, err
		}
		if !now.IsStandby {
			return 0, errNoStandby
		}
		s.replayed.Store(now.Position) // one look at a time
		return now.Position, nil
	}
	fence, err := r.fence.get(ctx)
	if err == nil {
		s.timeline = fence.Timeline
		err = r.check(ctx, s)
	}
	if err != nil {
		db.Close()
		return err
	}
	r.complained = ""
	r.logger.InfoContext(ctx, "lists and history are read from the replica")
	r.standby.Store(s)
	return nil
}

// check makes sure that the replica is a standby of this database and has its history. After a failover
// positions alone could deceive: a server that was left behind may have come further, on a way of its own.
func (r *Replica) check(ctx context.Context, s *standby) error {
	ctx, cancel := context.WithTimeout(ctx, 2*silence)
	defer cancel()
	var here, there identity
	if err := r.primary.GetContext(ctx, &here, identify); err != nil {
		return fmt.Errorf("ask the primary who it is: %w", err)
	}
	if err := s.GetContext(ctx, &there, identify); err != nil {
		return err
	}
	switch {
	case here.Database != there.Database:
		return ErrAnotherDatabase
	case !there.IsStandby:
		return errNoStandby
	case there.Timeline != s.timeline:
		return errAnotherTimeline
	}
	return nil
}

// leave stops using the standby.
func (r *Replica) leave(s *standby) {
	if s != nil && r.standby.CompareAndSwap(s, nil) {
		go s.Close() // it waits for what is under way
	}
}

// together lets all who ask at the same time share an answer. It is asked for after each of them came:
// what was on its way before would be too old.
type together[T any] struct {
	ask func(ctx context.Context) (T, error)

	mu   sync.Mutex
	next *answer[T]
	busy bool
}

type answer[T any] struct {
	there chan struct{}
	value T
	err   error
}

func (t *together[T]) get(ctx context.Context) (value T, err error) {
	t.mu.Lock()
	if t.next == nil {
		t.next = &answer[T]{there: make(chan struct{})}
	}
	awaited := t.next
	if !t.busy {
		t.busy = true
		go t.run()
	}
	t.mu.Unlock()
	select {
	case <-awaited.there:
		return awaited.value, awaited.err
	case <-ctx.Done():
		return value, ctx.Err()
	}
}

func (t *together[T]) run() {
	for {
		t.mu.Lock()
		now := t.next
		t.next, t.busy = nil, now != nil
		t.mu.Unlock()
		if now == nil {
			return
		}
		func() {
			defer close(now.there)
			defer func() {
				if panicked := recover(); panicked != nil { // which would end the process
					now.err = fmt.Errorf("panic (%T): %s", panicked, debug.Stack())
				}
			}()
			ctx, cancel := context.WithTimeout(context.Background(), silence)
			defer cancel()
			now.value, now.err = t.ask(ctx)
		}()
	}
}

// oneServer refuses connections to another run of a server than the first one: what is known of one
// says nothing of another that came to its address.
type oneServer struct {
	driver.Connector
	connected func()

	mu  sync.Mutex
	run string
}

func (o *oneServer) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := o.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	run, err := runOf(ctx, conn.(driver.QueryerContext))
	if err == nil {
		o.mu.Lock()
		if o.run == "" {
			o.run = run
		}
		if run != o.run {
			err = errAnotherServer
		}
		o.mu.Unlock()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	o.connected()
	return conn, nil
}

func runOf(ctx context.Context, conn driver.QueryerContext) (string, error) {
	rows, err := conn.QueryContext(ctx, `SELECT run FROM (`+identify+`) AS identity`, nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s", row[0]), nil
}

// impatient makes connections that fail when the other side is silent for too long: lib/pq alone would
// wait until the system gives up. It reads only when it waits for an answer.
type impatient struct{ net.Dialer }

var _ pq.DialerContext = impatient{}

func (d impatient) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d impatient) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d impatient) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return impatientConn{conn}, nil
}

type impatientConn struct{ net.Conn }

func (c impatientConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}
