package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

var errGivesUp = errors.New("as was asked for")

// writes lets 8 writers append to the streams, one event or many at a time, some of which give up
// in the end. It returns the positions that were committed.
func (w *world) writes(streams []int64, each int) []Position {
	w.t.Helper()
	var mu sync.Mutex
	var committed []Position
	// A clock that no two look at in the same moment orders what happened before what.
	var clock atomic.Int64
	type moments struct {
		position   Position
		begin, end int64
	}
	var history []moments
	var writers sync.WaitGroup
	for writer := range 8 {
		random := rand.New(rand.NewPCG(uint64(writer), 8))
		writers.Go(func() {
			for n := range each {
				var events []Event
				for range 1 + random.IntN(3)*(n%2) {
					events = append(events, Event{Stream: streams[random.IntN(len(streams))], Kind: "line"})
				}
				begin := clock.Add(1)
				err := w.inTx(func(ctx context.Context, tx *sqlx.Tx) (err error) {
					if len(events) == 1 {
						events[0], err = Append(ctx, tx, events[0])
					} else {
						events, err = AppendAll(ctx, tx, events)
					}
					if err == nil && random.IntN(5) == 0 {
						return errGivesUp
					}
					return err
				})
				end := clock.Add(1)
				if errors.Is(err, errGivesUp) {
					continue
				}
				if err != nil {
					w.t.Error(err)
					return
				}
				mu.Lock()
				for _, event := range events {
					at := Position{event.Stream, event.Seq}
					committed, history = append(committed, at), append(history, moments{at, begin, end})
				}
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	for _, a := range history {
		for _, b := range history {
			if a.position.Stream == b.position.Stream && a.end < b.begin && a.position.Seq >= b.position.Seq {
				w.t.Fatalf("%v was committed before %v began", a.position, b.position)
			}
		}
	}
	return committed
}

func TestAStreamIsGaplessInTheOrderOfItsCommits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	streams := w.streams(3)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		const query = `SELECT stream, count(*) AS seq FROM events GROUP BY stream HAVING count(*) <> max(seq) OR min(seq) <> 1`
		for {
			var holes []Position
			if err := w.db.Select(&holes, query); err != nil || len(holes) > 0 {
				t.Errorf("somebody saw holes in %v, %v", holes, err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})

	committed := w.writes(streams, 60)

	close(done)
	watching.Wait()
	var stored []Position
	w.must(w.db.Select(&stored, `SELECT stream, seq FROM events ORDER BY stream, seq`))
	slices.SortFunc(committed, comparePositions)
	if !slices.Equal(stored, committed) {
		t.Errorf("stored are %v, but %v were acknowledged", stored, committed)
	}
	var heads []Position
	w.must(w.db.Select(&heads, `SELECT number AS stream, head AS seq FROM streams WHERE number = ANY (ARRAY(SELECT stream FROM events)) ORDER BY number`))
	for _, head := range heads {
		check(t, fmt.Sprint("the newest of stream ", head.Stream), lastOf(stored, head.Stream), head.Seq)
	}
}

func comparePositions(a, b Position) int {
	if a.Stream != b.Stream {
		return int(a.Stream - b.Stream)
	}
	return int(a.Seq - b.Seq)
}

func lastOf(positions []Position, stream int64) (last int64) {
	for _, at := range positions {
		if at.Stream == stream {
			last = max(last, at.Seq)
		}
	}
	return last
}

func TestTheFeedHoldsEachEventOnceHoweverManyNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	streams := w.streams(3)
	done := make(chan struct{})
	var numbering sync.WaitGroup
	for range 3 {
		process := w.still()
		numbering.Go(func() {
			for {
				if _, err := process.number(t.Context()); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}

	committed := w.writes(streams, 60)

	close(done)
	numbering.Wait()
	w.numbers(w.still())
	var feed []struct{ Pos, Stream, Seq int64 }
	w.must(w.db.Select(&feed, `SELECT pos, stream, seq FROM feed ORDER BY pos`))
	check(t, "how many are numbered", len(feed), len(committed))
	newest := map[int64]int64{}
	for i, event := range feed {
		check(t, "a place in the feed", event.Pos, int64(i+1))
		check(t, fmt.Sprint("the next of stream ", event.Stream), event.Seq, newest[event.Stream]+1)
		newest[event.Stream] = event.Seq
	}
	var state struct{ Head, Waiting int64 }
	w.must(w.db.Get(&state, `SELECT head, (SELECT count(*) FROM unnumbered) AS waiting FROM feed_state`))
	check(t, "the head of the feed", state.Head, int64(len(feed)))
	check(t, "how many wait", state.Waiting, 0)
}

func TestSpansBeginAndEndWithTheEventsThatSaySo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := uuid.New(), uuid.New()
	stream := w.stream()

	w.opens(stream, "1", ann, bob)
	w.says(stream, "2 3")
	w.closes(stream, "4", bob)
	w.says(stream, "5")
	w.opens(stream, "6", bob)

	check(t, "Ann sees", w.spans(ann, stream), "1-")
	check(t, "Bob sees", w.spans(bob, stream), "1-4 6-")
	w.closes(stream, "7", ann, bob)
	check(t, "Ann sees then", w.spans(ann, stream), "1-7")
	check(t, "Bob sees then", w.spans(bob, stream), "1-4 6-7")
}

func TestHistoryIsRevealedFromASeqOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		revealFrom int64
		want       string
	}{
		{0, "5-"},
		{1, "1-"},
		{3, "3-"},
		{5, "5-"},
		{100, "5-"},
	} {
		w := newWorld(t)
		ann := uuid.New()
		stream := w.stream()
		w.says(stream, "1 2 3 4")

		w.appends(Event{Stream: stream, Kind: "5", Opens: []uuid.UUID{ann}, RevealFrom: c.revealFrom})

		check(t, fmt.Sprint("revealed from ", c.revealFrom), w.spans(ann, stream), c.want)
	}
}

// What was seen before stays as it is: the revealed history is what lies between and behind.
func TestRevealedHistoryFillsTheGapsBetweenEarlierSpans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		revealFrom int64
		want       string
	}{
		{0, "3-4 7-8 11-"},
		{1, "1-2 3-4 5-6 7-8 9-"},
		{2, "2-2 3-4 5-6 7-8 9-"},
		{4, "3-4 5-6 7-8 9-"},
		{6, "3-4 6-6 7-8 9-"},
		{8, "3-4 7-8 9-"},
		{10, "3-4 7-8 10-"},
	} {
		w := newWorld(t)
		stream := w.stream()
		w.says(stream, "1 2")
		w.opens(stream, "3", ann)
		w.closes(stream, "4", ann)
		w.says(stream, "5 6")
		w.opens(stream, "7", ann)
		w.closes(stream, "8", ann)
		w.says(stream, "9 10")

		w.appends(Event{Stream: stream, Kind: "11", Opens: []uuid.UUID{ann}, RevealFrom: c.revealFrom})

		check(t, fmt.Sprint("revealed from ", c.revealFrom), w.spans(ann, stream), c.want)
		w.closes(stream, "12", ann)
		check(t, fmt.Sprint("revealed from ", c.revealFrom, ", and closed"), w.spans(ann, stream), c.want+"12")
	}
}

func TestWhoeverIsOpenedMustNotBeOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := uuid.New()
	stream := w.stream()
	w.opens(stream, "1", ann)

	err := w.inTx(func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := Append(ctx, tx, Event{Stream: stream, Kind: "2", Opens: []uuid.UUID{ann}})
		return err
	})

	if err == nil {
		t.Error("a reader has two open spans")
	}
	check(t, "Ann sees", w.spans(ann, stream), "1-")
}

func TestManyEventsAreAppendedInTheirOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := uuid.New(), uuid.New()
	streams := w.streams(2)
	one, two := streams[0], streams[1]
	w.says(one, "before")
	w.opens(two, "before", ann)

	events := w.appendsAll(
		Event{Stream: two, Kind: "a", Actor: ann, Object: bob},
		Event{Stream: one, Kind: "b", Opens: []uuid.UUID{ann, bob}},
		Event{Stream: two, Kind: "c", Closes: []uuid.UUID{ann}},
		Event{Stream: one, Kind: "d", Closes: []uuid.UUID{bob}},
		Event{Stream: two, Kind: "e", Opens: []uuid.UUID{ann}},
		Event{Stream: one, Kind: "f", Opens: []uuid.UUID{bob}, RevealFrom: 1},
		Event{Stream: one, Kind: "g", Closes: []uuid.UUID{bob}},
	)

	for i, want := range []int64{2, 2, 3, 3, 4, 4, 5} {
		check(t, "seq of "+events[i].Kind, events[i].Seq, want)
	}
	var stored string
	w.must(w.db.Get(&stored, `SELECT string_agg(kind, ' ' ORDER BY stream, seq) FROM events`))
	check(t, "stored", stored, "before b d f g before a c e")
	check(t, "Ann sees of one", w.spans(ann, one), "2-")
	check(t, "Ann sees of two", w.spans(ann, two), "1-3 4-")
	check(t, "Bob sees of one", w.spans(bob, one), "2-3 4-5")
	var actor, object uuid.UUID
	w.must(w.db.QueryRow(`SELECT actor, object FROM events WHERE kind = 'a'`).Scan(&actor, &object))
	check(t, "the actor of a", actor, ann)
	check(t, "the object of a", object, bob)
}

func TestAStatementOfTheCallersAppendsInTheOrderOfItsPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, l := uuid.New(), w.still()
	streams := w.streams(2)
	one, two := streams[0], streams[1]
	w.says(one, "before")
	const query = `
		WITH given AS (
			SELECT *, $2::uuid AS actor, $2::uuid AS scope, $2::uuid AS object
			FROM (VALUES ($1, 2, 'c'), ($1 + 1, 1, 'd'), ($1, 1, 'b')) AS given (stream, place, kind)
		), ` + Appending + `
		SELECT kind || ' ' || seq FROM appended ORDER BY stream, seq`

	var appended []string
	w.must(w.inTx(func(ctx context.Context, tx *sqlx.Tx) error { return tx.SelectContext(ctx, &appended, query, one, ann) }))

	check(t, "the second stream is the next one", two, one+1)
	check(t, "appended", strings.Join(appended, ", "), "b 2, c 3, d 1")
	w.says(two, "after")
	var stored string
	w.must(w.db.Get(&stored, `SELECT string_agg(kind || ' ' || seq, ', ' ORDER BY stream, seq) FROM events`))
	check(t, "stored", stored, "before 1, b 2, c 3, d 1, after 2")
	w.numbers(l)
	var numbered int
	w.must(w.db.Get(&numbered, `SELECT count(*) FROM feed`))
	check(t, "numbered", numbered, 5)
}

func TestNobodyWaitsForEachOtherInACircle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	streams := w.streams(6)
	var writers sync.WaitGroup
	for writer := range 6 {
		random := rand.New(rand.NewPCG(uint64(writer), 6))
		writers.Go(func() {
			for range 40 {
				var events []Event
				for _, i := range random.Perm(len(streams))[:4] {
					events = append(events, Event{Stream: streams[i], Kind: "line"})
				}
				if err := w.inTx(func(ctx context.Context, tx *sqlx.Tx) error {
					_, err := AppendAll(ctx, tx, events)
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	var n int
	w.must(w.db.Get(&n, `SELECT sum(head) FROM streams WHERE number = ANY (ARRAY(SELECT stream FROM events))`))
	check(t, "how many were appended", n, 6*40*4)
}

func TestAStreamThatDoesNotExistTakesNoEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stream := w.stream()
	for name, act := range map[string]func(ctx context.Context, tx *sqlx.Tx) error{
		"one": func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := Append(ctx, tx, Event{Stream: stream + 1, Kind: "lost"})
			return err
		},
		"many": func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := AppendAll(ctx, tx, []Event{{Stream: stream, Kind: "kept"}, {Stream: stream + 1, Kind: "lost"}})
			return err
		},
	} {
		if err := w.inTx(act); err == nil {
			t.Errorf("%s: it was appended", name)
		}
	}
}

func TestTheFloorOfTheFeedNeverGoesDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	stream := w.stream()
	w.says(stream, "1 2 3")
	w.numbers(l)
	// Two processes that number can come to the lock in another order than their transactions began.
	w.exec(`UPDATE feed SET numbered_at = now() - CASE pos WHEN 1 THEN 1 WHEN 2 THEN 3 ELSE 0 END * interval '1 hour'`)

	for _, keep := range []time.Duration{2 * time.Hour, 30 * time.Minute} {
		_, err := l.trim(t.Context(), keep)
		w.must(err)

		var floor int64
		w.must(w.db.Get(&floor, `SELECT floor FROM feed_state`))
		check(t, fmt.Sprint("the floor when kept for ", keep), floor, 2)
	}
}

func TestOneTrimmingIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	w.exec(`INSERT INTO feed (pos, stream, seq, numbered_at) SELECT n, 1, n, now() - interval '40 days' FROM generate_series(1, $1) AS n`, numberAtOnce+10)
	w.exec(`UPDATE feed_state SET head = $1`, numberAtOnce+10)

	for _, want := range []int64{numberAtOnce, 10, 0} {
		trimmed, err := l.trim(t.Context(), keepFeed)
		w.must(err)
		check(t, "trimmed", trimmed, want)
	}
}
