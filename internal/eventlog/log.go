package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

const (
	// numberEvery is the pause between two numberings when there is something to number.
	numberEvery = 100 * time.Millisecond
	// lookEvery is how often a process looks for news and for work without having been told to.
	lookEvery = 250 * time.Millisecond
	// hintEvery is the time in which hints to other processes are put together.
	hintEvery = time.Millisecond
	// refreshPause is the least time between two readings of what is new: under load more comes with each.
	refreshPause = 5 * time.Millisecond
	// ownAtOnce bounds what a process takes of its own without reading it: more comes by the page.
	ownAtOnce = 100
	// numberAtOnce bounds one numbering, so that its transaction stays short.
	numberAtOnce = 5000
	// readAtOnce bounds the events read in one go.
	readAtOnce = 5000
	// maxSeen bounds the streams of which the newest seq is remembered.
	maxSeen = 1 << 15
	// complainEvery is how often a fault that stays is logged.
	complainEvery = time.Minute
	// keepFeed is how long a cursor can be resumed from.
	keepFeed = 30 * 24 * time.Hour
)

// numbered is an event with its place in the feed.
type numbered struct {
	pos int64
	Event
}

// Log follows the log in one database for the followers of this process, and numbers it. It is
// safe for concurrent use.
type Log struct {
	db      *sqlx.DB
	carrier Carrier
	key     *cursorKey
	logger  *slog.Logger
	metrics *metrics

	// ringSize is how many numbered events are kept in memory for the followers, readSize how many
	// are read in one go, pageSize how many one of them takes in one go, heartbeat how long it is left
	// without a sign of life.
	ringSize, readSize, pageSize int
	heartbeat                    time.Duration

	// news wakes the refresher, hints carries positions to the sender. work says that there may
	// be something to number.
	news  chan struct{}
	work  chan struct{}
	hints chan []Position
	// complaints are a *rate.Sometimes for each act.
	complaints sync.Map

	mu sync.RWMutex
	// ring holds the events of the feed up to head, without gaps; ahead those that are not
	// numbered yet. Both are of one snapshot of the database, and what this process has committed since.
	ring  []numbered
	head  int64
	ahead map[int64][]Event
	// own is what this process has committed that no reading has found yet.
	own map[int64][]Event
	// withheld says that ahead was emptied because there was more than was read: it may lack what seen
	// tells of.
	withheld    bool
	started     bool
	incarnation int64
	byStream    map[int64][]*Follower
	byReader    map[uuid.UUID][]*Follower
	// seen is the newest seq of a stream that was taken lately, with all before it: hints about
	// it need no reading, and what this process commits next needs none either.
	seen map[int64]int64
}

// New returns the log in db. Hints of other processes come by the carrier, which only Run needs. All
// processes of one database must have the same key; it authenticates cursors.
func New(db *sqlx.DB, carrier Carrier, key []byte, logger *slog.Logger) *Log {
	return &Log{
		db: db, carrier: carrier, key: newCursorKey(key), logger: logger, metrics: newMetrics(),
		ringSize: 1 << 15, readSize: readAtOnce, pageSize: 500, heartbeat: 15 * time.Second,
		news: make(chan struct{}, 1), work: make(chan struct{}, 1), hints: make(chan []Position, 256),
		ahead: map[int64][]Event{}, own: map[int64][]Event{}, byStream: map[int64][]*Follower{}, byReader: map[uuid.UUID][]*Follower{},
		seen: map[int64]int64{},
	}
}

// Run numbers, listens, hints and reads until ctx ends. Without it followers of this process
// hear nothing. It outlives every fault of the database.
func (l *Log) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context) error{l.refresher, l.numberer, l.hinter, l.listener, l.trimmer} {
		group.Go(func() error { return part(ctx) })
	}
	return group.Wait()
}

// Hint tells the followers, of this process and of others, that these events of Append are committed. It
// never waits: a hint that is lost only costs the time until somebody looks by themselves.
func (l *Log) Hint(events []Event) {
	if len(events) == 0 {
		return
	}
	pause("hint")
	if losesHint() {
		return
	}
	if !l.takeOwn(events) {
		ring(l.news)
	}
	ring(l.work)
	positions := make([]Position, len(events))
	for i, event := range events {
		positions[i] = Position{event.Stream, event.Seq}
	}
	select {
	case l.hints <- positions:
	default:
	}
}

// takeOwn makes what this process has committed its news without reading it, as far as each is the next
// one of its stream, and tells whether that was all. Whatever is committed comes behind all that was
// committed before in its stream, so there is nothing between.
func (l *Log) takeOwn(events []Event) (all bool) {
	if len(events) > ownAtOnce {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byReader) == 0 {
		return true // nobody to tell
	}
	all = l.started
	for _, event := range events {
		seen, known := l.seen[event.Stream]
		switch {
		case !l.started || !known || event.Seq > seen+1:
			all = false
		case event.Seq == seen+1:
			l.own[event.Stream] = append(l.own[event.Stream], event)
			l.seen[event.Stream] = event.Seq
			if l.withheld {
				continue // what comes before it is not in memory; it is told of with that
			}
			l.ahead[event.Stream] = append(l.ahead[event.Stream], event)
			l.wake(event, false)
		}
	}
	return all
}

// ring rings a doorbell: once is enough, however often.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// refresher keeps what followers read up to date with the database.
func (l *Log) refresher(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.news:
		case <-look.C:
			if planted("sweep") {
				continue
			}
		}
		if pause := refreshPause - time.Since(last); pause > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
		}
		last = time.Now()
		for more := true; more; {
			var err error
			if more, err = l.refresh(ctx); errors.Is(err, errBreach) {
				l.metrics.breaches.Inc()
				l.complain(ctx, "trust the feed", err)
				l.restart()
				break
			} else if err != nil {
				l.complain(ctx, "read the feed", err)
				break
			}
		}
	}
}

// refresh reads what is new, in one snapshot, and wakes the followers whom it concerns. It
// reports whether there is more to read at once.
func (l *Log) refresh(ctx context.Context) (more bool, err error) {
	l.mu.RLock()
	idle, started, incarnation, from := len(l.byReader) == 0, l.started, l.incarnation, l.head
	l.mu.RUnlock()
	if idle {
		l.restart()
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	state, err := readState(ctx, l.db)
	if err != nil {
		return false, err
	}
	if !started || incarnation != state.Incarnation || from < state.Floor || from > state.Head {
		// Only what comes from now on is kept; followers read earlier pages by themselves.
		l.restart()
		from = state.Head
	}
	pause("snapshot")
	// Numbering moves events from one half to the other in one transaction, so that in one
	// statement each is in exactly one.
	const query = `
		SELECT feed.pos, ` + eventColumns + `
		FROM (SELECT * FROM feed WHERE pos > $1 ORDER BY pos LIMIT $2) AS feed
		CROSS JOIN LATERAL ( -- as a plain join it may read all events
			SELECT * FROM events WHERE stream = feed.stream AND seq = feed.seq OFFSET 0
		) AS events
		UNION ALL
		SELECT NULL, ` + eventColumns + `
		FROM (SELECT * FROM unnumbered ORDER BY stream, seq LIMIT $2) AS unnumbered
		CROSS JOIN LATERAL (
			SELECT * FROM events WHERE stream = unnumbered.stream AND seq = unnumbered.seq OFFSET 0
		) AS events
		ORDER BY pos NULLS LAST, stream, seq`
	rows, err := l.db.QueryxContext(ctx, query, from, l.readSize)
	if err != nil {
		return false, err
	}
	found, err := scanEvents(rows)
	if err != nil {
		return false, err
	}
	return l.take(state.Incarnation, from, found)
}

// take makes what refresh found the news of this process.
func (l *Log) take(incarnation, from int64, found []numbered) (more bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started && l.head != from {
		return true, nil
	}
	if !l.started {
		// They may be behind what will be kept, or in another database.
		for _, followers := range l.byReader {
			for _, follower := range followers {
				follower.bell()
			}
		}
	}
	l.started, l.incarnation, l.head = true, incarnation, from
	ahead := map[int64][]Event{}
	count := 0
	for _, event := range found {
		if event.pos == 0 {
			ahead[event.Stream] = append(ahead[event.Stream], event.Event)
			continue
		}
		if event.pos != l.head+1 {
			return false, fmt.Errorf("%w: place %d of the feed after %d", errBreach, event.pos, l.head)
		}
		l.head, l.ring = event.pos, append(l.ring, event)
		count++
	}
	more = count == l.readSize
	for _, event := range found {
		l.forgetOwn(event.Stream, event.Seq)
	}
	hold := more || len(found)-count == l.readSize
	if hold {
		// The feed may hold earlier events of these streams that were not read yet, or some of them are
		// missing. All are numbered soon.
		ahead = map[int64][]Event{}
	} else {
		for stream, events := range l.own { // committed since the snapshot
			ahead[stream] = append(ahead[stream], events...)
			if l.withheld {
				l.wake(events[0], false)
			}
		}
	}
	l.ahead = ahead
	if len(l.ring) > 2*l.ringSize {
		l.ring = append([]numbered(nil), l.ring[len(l.ring)-l.ringSize:]...)
	}
	again := l.withheld // what was taken away may not have been heard
	l.withheld = hold
	for _, event := range found {
		old := !again && event.Seq <= l.seen[event.Stream]
		if event.pos == 0 && (hold || old) {
			continue
		}
		l.seen[event.Stream] = max(event.Seq, l.seen[event.Stream])
		l.wake(event.Event, old)
	}
	if len(l.seen) > maxSeen {
		l.seen = map[int64]int64{}
	}
	return more, nil
}

// forgetOwn lets go of what a reading has found, up to this seq. The caller holds the lock.
func (l *Log) forgetOwn(stream, seq int64) {
	own := l.own[stream]
	for len(own) > 0 && own[0].Seq <= seq {
		own = own[1:]
	}
	if len(own) > 0 {
		l.own[stream] = own
	} else {
		delete(l.own, stream)
	}
}

// wake rings at the followers whom the event may concern. They have heard of an old one, which has its
// number now: that is news to whoever waited for it. The caller holds the lock.
func (l *Log) wake(event Event, old bool) {
	for _, follower := range l.byStream[event.Stream] {
		if !old || follower.waits.Load() {
			follower.wake()
		}
	}
	for _, reader := range event.Opens {
		for _, follower := range l.byReader[reader] {
			follower.wake()
		}
	}
}

// restart forgets what is in memory: followers read their own pages until it is there again.
func (l *Log) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started, l.ring, l.ahead, l.own, l.seen = false, nil, map[int64][]Event{}, map[int64][]Event{}, map[int64]int64{}
}

// numberer gives the new events their places in the feed.
func (l *Log) numberer(ctx context.Context) error {
	pause := time.NewTicker(numberEvery)
	defer pause.Stop()
	look := time.NewTicker(2 * lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.work:
		case <-look.C:
			if planted("sweep") {
				continue
			}
		}
		for more := true; more; {
			n, err := l.number(ctx)
			if err != nil {
				l.complain(ctx, "number the feed", err)
			}
			if n > 0 {
				l.metrics.numbered.Add(float64(n))
				ring(l.news)
			}
			more = err == nil && n == numberAtOnce
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
	}
}

// number numbers the events that are committed and not numbered, unless another process is at it,
// and returns how many they were.
func (l *Log) number(ctx context.Context) (numbered int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tx, err := l.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	// The lock first: what the next statement sees then is all that earlier numberings left.
	var head int64
	err = tx.GetContext(ctx, &head, `SELECT head FROM feed_state FOR UPDATE SKIP LOCKED`)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	// Within a stream commits come in the order of seq, so what is visible here has no gaps.
	// What is behind the last one is found first, so that the work is linear however Postgres plans it:
	// most of the time the table is empty, and plans are for that.
	const query = `
		WITH rest AS MATERIALIZED (
			SELECT stream, seq FROM unnumbered ORDER BY stream, seq OFFSET $2 LIMIT 1
		), taken AS (
			DELETE FROM unnumbered
			WHERE NOT EXISTS (SELECT FROM rest) OR (stream, seq) < (SELECT stream, seq FROM rest)
			RETURNING stream, seq
		)
		INSERT INTO feed (pos, stream, seq)
		SELECT $1 + row_number() OVER (ORDER BY stream, seq), stream, seq FROM taken`
	result, err := tx.ExecContext(ctx, query, head, numberAtOnce)
	if err != nil {
		return 0, err
	}
	if numbered, err = result.RowsAffected(); err != nil || numbered == 0 {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE feed_state SET head = head + $1`, numbered); err != nil {
		return 0, err
	}
	pause("number")
	return numbered, tx.Commit()
}

// hinter tells other processes of new events, many in one statement.
func (l *Log) hinter(ctx context.Context) error {
	for {
		var positions []Position
		select {
		case <-ctx.Done():
			return ctx.Err()
		case positions = <-l.hints:
		}
		newest := map[int64]int64{}
		window := time.After(hintEvery)
		for open := true; open; {
			for _, at := range positions {
				newest[at.Stream] = max(newest[at.Stream], at.Seq)
			}
			select {
			case positions = <-l.hints:
			case <-window:
				open = false
			}
		}
		if err := l.notify(ctx, newest); err != nil {
			l.complain(ctx, "hint", err)
		}
	}
}

func (l *Log) notify(ctx context.Context, newest map[int64]int64) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var hint strings.Builder
	for stream, seq := range newest {
		fmt.Fprintf(&hint, "%d:%d ", stream, seq)
		if hint.Len() > maxHint {
			hint.Reset() // look at everything
			break
		}
	}
	return l.carrier.Send(ctx, hint.String())
}

// listener hears the hints of other processes.
func (l *Log) listener(ctx context.Context) error {
	l.carrier.Listen(ctx, func(hint string) {
		if l.isNews(hint) && !losesHint() {
			ring(l.news)
			ring(l.work)
		}
	}, func(err error) { l.complain(ctx, "listen for hints", err) })
	return ctx.Err()
}

// isNews tells whether a hint names an event that was not read yet: this process hears its own
// hints too.
func (l *Log) isNews(hint string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for pair := range strings.FieldsSeq(hint) {
		stream, seq, _ := strings.Cut(pair, ":")
		number, err := strconv.ParseInt(stream, 10, 64)
		if err != nil {
			return true
		}
		if at, err := strconv.ParseInt(seq, 10, 64); err != nil || at > l.seen[number] {
			return true
		}
	}
	return hint == ""
}

// trimmer takes what no cursor may need any more from the feed.
func (l *Log) trimmer(ctx context.Context) error {
	every := time.NewTicker(time.Hour)
	defer every.Stop()
	for {
		for more := true; more; {
			trimmed, err := l.trim(ctx, keepFeed)
			if err != nil {
				l.complain(ctx, "trim the feed", err)
			}
			more = err == nil && trimmed == numberAtOnce
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

func (l *Log) trim(ctx context.Context, keep time.Duration) (trimmed int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	const query = `
		WITH oldest AS (
			SELECT pos, numbered_at FROM feed ORDER BY pos LIMIT $1
		), trimmed AS (
			DELETE FROM feed USING oldest
			WHERE feed.pos = oldest.pos AND oldest.numbered_at < now() - $2 * interval '1 second'
			RETURNING feed.pos
		), floor AS (
			UPDATE feed_state SET floor = GREATEST(floor, (SELECT max(pos) FROM trimmed)) WHERE EXISTS (SELECT FROM trimmed)
		)
		SELECT count(*) FROM trimmed`
	err = l.db.GetContext(ctx, &trimmed, query, numberAtOnce, keep.Seconds())
	return trimmed, err
}

// complain logs a fault that is lived through, of each act once in a while: as long as the database
// is away all of them fail several times a second. Of an error of Postgres only the code is told: its
// details hold rows.
func (l *Log) complain(ctx context.Context, act string, err error) {
	if ctx.Err() != nil {
		return
	}
	var fault *pq.Error
	if errors.As(err, &fault) {
		err = fmt.Errorf("SQLSTATE %s", fault.Code)
	}
	l.metrics.faults.WithLabelValues(act).Inc()
	said, _ := l.complaints.LoadOrStore(act, &rate.Sometimes{Interval: complainEvery})
	said.(*rate.Sometimes).Do(func() {
		l.logger.WarnContext(ctx, "the event log goes on after a fault", "act", act, "error", err)
	})
}

const eventColumns = `events.stream, events.seq, events.kind, events.actor, events.scope, events.subject,
	events.object, events.opens, events.closes, events.occurred_at`

// scanEvents reads rows of pos and eventColumns; the pos of an event that has none is 0.
func scanEvents(rows *sqlx.Rows) ([]numbered, error) {
	defer rows.Close()
	var events []numbered
	for rows.Next() {
		var event numbered
		var pos sql.NullInt64
		var actor, scope, subject, object uuid.NullUUID
		if err := rows.Scan(&pos, &event.Stream, &event.Seq, &event.Kind, &actor, &scope, &subject, &object,
			pq.Array(&event.Opens), pq.Array(&event.Closes), &event.OccurredAt); err != nil {
			return nil, err
		}
		event.pos = pos.Int64
		event.Actor, event.Scope, event.Subject, event.Object = actor.UUID, scope.UUID, subject.UUID, object.UUID
		events = append(events, event)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return events, nil
}
