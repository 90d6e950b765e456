package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// span is a part of a stream that a reader may see.
type span struct {
	from, to int64
}

// Delivery is one step of a follower. Event is nil in a sign of life: the first delivery, and one
// whenever nothing happened for a while.
type Delivery struct {
	Event *Event
	// Cursor resumes right behind this delivery, on any process.
	Cursor string
	// Reset says that events between the given cursor and this delivery can't be had any more:
	// whatever the reader holds must be fetched anew.
	Reset bool
	// At is when the event happened, or the time of the sign of life.
	At time.Time
}

// Follower reads the log for one reader. It is used by one goroutine at a time, and needs none while it
// waits.
type Follower struct {
	log    *Log
	reader uuid.UUID
	// bell is rung when there may be something new.
	bell func()
	// woken is when the bell rang for something new, in nanoseconds, until it is delivered.
	woken atomic.Int64
	// waits says that there are events that must be numbered before this follower can take them.
	waits atomic.Bool

	// at is how far the reader has come, scanned how far the feed was searched for what concerns
	// them, pending what was found.
	at      cursor
	scanned int64
	pending []numbered
	// room is for what mostly comes: something new, and behind it the number of what came before.
	room [2]numbered
	// isUpToDate says that with what is pending the reader has all that the process holds, as long as nobody rings.
	isUpToDate bool
	// behind says that what comes next must be read from the database.
	behind bool
	spans  map[int64][]span
	// last is the seq of the last delivery of each stream, since the start or the last gap.
	last map[int64]int64
	// watched are the streams whose news wake this follower.
	watched map[int64]bool
	greeted bool
	reset   bool
	// quiet is when the reader heard something last, lookAt when to look into the database if the
	// process does not hold what they need by then.
	quiet, lookAt time.Time
}

// aheadAtMost is how long a cursor may be ahead of the database: a standby shows what is on the primary's disk,
// and the primary itself may show it later, as when it waits for another standby.
const aheadAtMost = time.Second

// Follow starts to read for a reader, behind the given cursor, or from now on if it is empty. The bell
// is rung, by anybody, whenever there may be something to Poll; it must not wait. The
// error is ErrCursorInvalid if the cursor is not one of theirs. Close must be called.
func (l *Log) Follow(ctx context.Context, reader uuid.UUID, after string, bell func()) (*Follower, error) {
	f := &Follower{
		log: l, reader: reader, bell: bell,
		at: cursor{ahead: map[int64]int64{}}, last: map[int64]int64{}, watched: map[int64]bool{}, behind: true,
	}
	var err error
	if after != "" {
		if f.at, err = decodeCursor(l.key, reader, after); err != nil {
			return nil, err
		}
	}
	// The bell hangs before the first read, so that nothing falls between.
	l.mu.Lock()
	l.byReader[reader] = append(l.byReader[reader], f)
	l.mu.Unlock()
	ring(l.news)
	asked := f.at
	err = f.read(ctx, after == "")
	for until := time.Now().Add(aheadAtMost); err == nil && f.reset && asked.isAheadOf(f.at) && time.Now().Before(until); {
		select {
		case <-ctx.Done():
		case <-time.After(numberEvery):
		}
		f.at = asked
		err = f.read(ctx, false)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	from := fromCursor
	switch {
	case f.reset:
		from = fromReset
	case after == "":
		from = fromNow
	}
	l.metrics.follows.WithLabelValues(from).Inc()
	return f, nil
}

// wake rings for something new.
func (f *Follower) wake() {
	f.woken.CompareAndSwap(0, time.Now().UnixNano())
	f.bell()
}

// delivers counts a delivery, and how long it took since the bell rang for it.
func (f *Follower) delivers() {
	f.log.metrics.delivered.Inc()
	if woken := f.woken.Swap(0); woken != 0 {
		f.log.metrics.delivery.Observe(time.Since(time.Unix(0, woken)).Seconds())
	}
}

// Close stops following.
func (f *Follower) Close() {
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	f.log.byReader[f.reader] = without(f.log.byReader[f.reader], f)
	if len(f.log.byReader[f.reader]) == 0 {
		delete(f.log.byReader, f.reader)
	}
	for stream := range f.watched {
		f.log.byStream[stream] = without(f.log.byStream[stream], f)
		if len(f.log.byStream[stream]) == 0 {
			delete(f.log.byStream, stream)
		}
	}
}

func without(followers []*Follower, f *Follower) []*Follower {
	if i := slices.Index(followers, f); i >= 0 {
		return slices.Delete(followers, i, i+1)
	}
	return followers
}

// Poll returns the next delivery, if there is one. If there is none it says after how long to poll
// again, unless the bell rings before. With a delivery, that is said of the next one: 0 is at once, for there may be more. An
// error that is not ctx's ends the follower: the log is not what it promises to be. Its cursor resumes behind what is missing.
func (f *Follower) Poll(ctx context.Context) (delivery Delivery, ok bool, again time.Duration, err error) {
	if !f.greeted {
		f.greeted = true
		return f.sign(), true, 0, nil
	}
	for {
		for len(f.pending) > 0 {
			event := f.pending[0]
			f.pending = f.pending[1:]
			if deliver, err := f.pass(event); err != nil {
				f.log.metrics.breaches.Inc()
				return Delivery{}, false, 0, err
			} else if deliver {
				f.delivers()
				f.quiet = time.Now()
				if len(f.pending) == 0 && f.isUpToDate {
					again = f.log.heartbeat
				}
				return Delivery{Event: &event.Event, Cursor: f.Cursor(), At: event.OccurredAt}, true, again, nil
			}
		}
		f.at.pos = max(f.at.pos, f.scanned)
		ready := true
		if f.behind {
			if err := f.read(ctx, false); err == nil {
				if f.reset {
					return f.sign(), true, 0, nil
				}
				continue
			} else if ctx.Err() == nil {
				f.log.complain(ctx, "read for a follower", err)
			}
		} else if ready = f.collect(); len(f.pending) > 0 || f.behind {
			continue
		}
		if err := ctx.Err(); err != nil {
			return Delivery{}, false, 0, err
		}
		now := time.Now()
		switch {
		case ready:
			f.lookAt = time.Time{}
		case f.lookAt.IsZero():
			f.lookAt = now.Add(lookEvery)
		case !now.Before(f.lookAt):
			f.lookAt, f.behind = time.Time{}, true
			continue
		}
		f.woken.Store(0) // there was nothing for this reader
		f.at.pos = max(f.at.pos, f.scanned)
		if again = f.log.heartbeat - now.Sub(f.quiet); again <= 0 {
			return f.sign(), true, 0, nil
		}
		if f.behind || !ready {
			again = min(again, lookEvery)
		}
		return Delivery{}, false, again, nil
	}
}

// pass moves the reader past the event and tells whether it is to be delivered: what was
// delivered before it was numbered is not.
func (f *Follower) pass(event numbered) (deliver bool, err error) {
	delivered, ahead := f.at.ahead[event.Stream]
	if deliver = !ahead || event.Seq > delivered; deliver {
		last, known := f.last[event.Stream]
		if known && event.Seq != last+1 && (event.Seq <= last || visible(f.spans[event.Stream], last+1)) {
			return false, fmt.Errorf("%w: event %d of stream %d after %d", errBreach, event.Seq, event.Stream, last)
		}
		f.last[event.Stream] = event.Seq
	}
	if event.pos == 0 {
		f.at.ahead[event.Stream] = event.Seq
		return deliver, nil
	}
	f.at.pos = event.pos
	if event.Seq >= delivered {
		delete(f.at.ahead, event.Stream)
	}
	return deliver, nil
}

// sign is a sign of life.
func (f *Follower) sign() Delivery {
	reset := f.reset
	f.reset, f.quiet = false, time.Now()
	return Delivery{Cursor: f.Cursor(), Reset: reset, At: time.Now()}
}

// Cursor resumes behind the last delivery.
func (f *Follower) Cursor() string { return f.at.encode(f.log.key, f.reader) }

// collect finds what concerns the reader in what the process holds in memory. It is not ready if
// that does not reach as far as the reader has come: then nobody may ring, and the reader looks
// into the database after a while.
func (f *Follower) collect() (ready bool) {
	f.log.mu.RLock()
	defer func() {
		f.log.mu.RUnlock()
		f.watch()
	}()
	f.isUpToDate = false
	l := f.log
	if !l.started || l.incarnation != f.at.incarnation || l.head < f.scanned {
		return false
	}
	first := l.head - int64(len(l.ring)) + 1
	if f.scanned+1 < first {
		f.behind = true
		return true
	}
	for _, event := range l.ring[f.scanned+1-first:] {
		if len(f.pending) >= l.pageSize {
			return true // the rest when these are delivered
		}
		f.consider(event)
		f.scanned = event.pos
	}
	f.early()
	f.isUpToDate = len(f.spans) == len(f.watched) // of a stream that has just opened nobody rings before it is watched
	return true
}

// early takes events that are not numbered yet, as long as each is the next one of its stream and
// the exceptions fit into a cursor. What opens a stream waits for its number.
func (f *Follower) early() {
	// Numbered events that were delivered early free their place in the cursor when passed.
	room := maxAhead - len(f.at.ahead)
	f.waits.Store(false)
	take := func(stream int64, events []Event) {
		delivered, known := f.at.ahead[stream]
		if len(f.spans[stream]) == 0 {
			return
		}
		if !known && room == 0 {
			f.waits.Store(true)
			return
		}
		taken := false
		for _, event := range events {
			if known && event.Seq <= delivered {
				continue
			}
			if !visible(f.spans[stream], event.Seq) {
				break
			}
			f.consider(numbered{Event: event})
			taken = true
		}
		if taken && !known {
			room--
		}
	}
	if len(f.spans) < len(f.log.ahead) {
		for stream := range f.spans {
			if events := f.log.ahead[stream]; len(events) > 0 {
				take(stream, events)
			}
		}
		return
	}
	for stream, events := range f.log.ahead {
		take(stream, events)
	}
}

// consider queues the event if the reader may see it, and follows what it opens and closes.
func (f *Follower) consider(event numbered) {
	if slices.Contains(event.Opens, f.reader) && !visible(f.spans[event.Stream], event.Seq) {
		f.spans[event.Stream] = append(f.spans[event.Stream], span{event.Seq, openEnd})
	}
	if !visible(f.spans[event.Stream], event.Seq) {
		return
	}
	if len(f.pending) == 0 {
		f.pending = f.room[:0]
	}
	f.pending = append(f.pending, event)
	if slices.Contains(event.Closes, f.reader) && !planted("removals") {
		for i, s := range f.spans[event.Stream] {
			if s.from <= event.Seq && event.Seq <= s.to {
				f.spans[event.Stream][i].to = event.Seq
			}
		}
	}
}

func visible(spans []span, seq int64) bool {
	for _, s := range spans {
		if s.from <= seq && seq <= s.to {
			return true
		}
	}
	return false
}

// watch asks to be woken for the streams that the reader may see.
func (f *Follower) watch() {
	if len(f.spans) == len(f.watched) {
		return // streams only come
	}
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	for stream := range f.spans {
		if !f.watched[stream] {
			f.watched[stream] = true
			f.log.byStream[stream] = append(f.log.byStream[stream], f)
		}
	}
}

// read takes a page of what concerns the reader from the database, head, spans and events in one
// snapshot. With fromNow it starts at the end: what the snapshot holds counts as delivered.
func (f *Follower) read(ctx context.Context, fromNow bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tx, err := f.log.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	state, err := readState(ctx, tx)
	if err != nil {
		return err
	}
	pause("snapshot")
	if planted("head") { // read beside the snapshot
		if state, err = readState(ctx, f.log.db); err != nil {
			return err
		}
	}
	at, last := f.at, f.last
	lost := at.incarnation != state.Incarnation || at.pos < state.Floor || at.pos > state.Head
	if fromNow || lost {
		if at, err = here(ctx, tx, f.reader); err != nil {
			return err
		}
		last = map[int64]int64{}
	}
	spans, err := readSpans(ctx, tx, f.reader)
	if err != nil {
		return err
	}
	const query = `
		SELECT feed.pos, ` + eventColumns + `
		FROM spans
		JOIN feed ON feed.stream = spans.stream AND feed.pos > $2 AND feed.pos <= $3
			AND feed.seq BETWEEN spans.opened_seq AND spans.to_seq
		JOIN events ON events.stream = feed.stream AND events.seq = feed.seq
		WHERE spans.reader = $1
		ORDER BY feed.pos
		LIMIT $4`
	var page []numbered
	if at.pos < state.Head {
		rows, err := tx.QueryxContext(ctx, query, f.reader, at.pos, state.Head, f.log.pageSize)
		if err != nil {
			return fmt.Errorf("read the feed: %w", err)
		}
		if page, err = scanEvents(rows); err != nil {
			return fmt.Errorf("read the feed: %w", err)
		}
	}
	f.at, f.last, f.spans, f.pending = at, last, spans, page
	f.behind, f.scanned, f.reset, f.isUpToDate = false, state.Head, lost && !fromNow, false
	if n := len(page); n == f.log.pageSize {
		f.behind, f.scanned = true, page[n-1].pos
	}
	f.watch()
	return nil
}

type feedState struct {
	Incarnation, Head, Floor int64
}

func readState(ctx context.Context, from sqlx.QueryerContext) (feedState, error) {
	var state feedState
	if err := sqlx.GetContext(ctx, from, &state, `SELECT incarnation, head, floor FROM feed_state`); err != nil {
		return state, fmt.Errorf("read the state of the feed: %w", err)
	}
	return state, nil
}

// readSpans fetches what the reader may see, each span from the event on that opened it: history
// that was revealed is for lists. Events that are numbered later than this snapshot are judged by
// it too, so ended spans count.
func readSpans(ctx context.Context, tx *sqlx.Tx, reader uuid.UUID) (map[int64][]span, error) {
	rows, err := tx.QueryxContext(ctx, `SELECT stream, opened_seq, to_seq FROM spans WHERE reader = $1`, reader)
	if err != nil {
		return nil, fmt.Errorf("read spans: %w", err)
	}
	defer rows.Close()
	spans := map[int64][]span{}
	for rows.Next() {
		var stream int64
		var s span
		if err := rows.Scan(&stream, &s.from, &s.to); err != nil {
			return nil, fmt.Errorf("read spans: %w", err)
		}
		spans[stream] = append(spans[stream], s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read spans: %w", err)
	}
	return spans, nil
}

// Here returns the cursor of what tx sees: whoever reads lists in the same snapshot and follows
// from this cursor misses nothing. Where each statement has a snapshot of its own, it is all that is committed when Here
// is called. If more than 64 of the reader's streams have events that are
// not numbered yet, some of those are delivered although the lists hold them already.
func (l *Log) Here(ctx context.Context, tx *sqlx.Tx, reader uuid.UUID) (string, error) {
	at, err := here(ctx, tx, reader)
	if err != nil {
		return "", err
	}
	return at.encode(l.key, reader), nil
}

func here(ctx context.Context, tx *sqlx.Tx, reader uuid.UUID) (cursor, error) {
	// One statement, so that what is numbered meanwhile counts once, wherever it is.
	const query = `
		WITH ahead AS (
			SELECT stream, max(seq) AS seq FROM unnumbered
			JOIN spans USING (stream)
			WHERE reader = $1 AND seq BETWEEN opened_seq AND to_seq
			GROUP BY stream
			ORDER BY stream
			LIMIT $2
		)
		SELECT incarnation, head, coalesce(stream, 0) AS stream, coalesce(seq, 0) AS seq
		FROM feed_state LEFT JOIN ahead ON true`
	var rows []struct {
		feedState
		Position
	}
	if err := tx.SelectContext(ctx, &rows, query, reader, maxAhead); err != nil {
		return cursor{}, fmt.Errorf("read where the feed is: %w", err)
	}
	if len(rows) == 0 {
		return cursor{}, errors.New("the feed has no state")
	}
	at := cursor{incarnation: rows[0].Incarnation, pos: rows[0].Head, ahead: make(map[int64]int64, len(rows))}
	for _, row := range rows {
		if row.Stream != 0 {
			at.ahead[row.Stream] = row.Seq
		}
	}
	return at, nil
}
