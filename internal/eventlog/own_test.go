package eventlog

import (
	"strings"
	"sync/atomic"
	"testing"
)

// What a process commits itself reaches its followers without a statement, once it knows the stream.
func TestWhatAProcessCommitsItNeedNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var statements atomic.Int64
	l := w.interrupted(func(string) { statements.Add(1) })
	mine := w.private(ann)
	stream := w.follows(l, ann, "")
	w.refreshes(l)

	first := w.appends(Event{Stream: mine, Kind: "a"})
	check(t, "the first is taken", l.takeOwn([]Event{first}), false)
	w.refreshes(l)
	check(t, "the first", stream.hears(), "a")
	stream.isDeaf()
	statements.Store(0)
	check(t, "the next are taken", l.takeOwn(w.appendsAll(Event{Stream: mine, Kind: "b"}, Event{Stream: mine, Kind: "c"})), true)

	w.rings("for the next", stream.bell)
	check(t, "the next", stream.hears(), "b c")
	check(t, "statements", statements.Load(), 0)
	w.numbers(w.still())
	w.refreshes(l)
	check(t, "when they are numbered", stream.hears(), "")
	check(t, "what is kept of them", len(l.own)+len(l.ahead), 0)
	check(t, "resumed", w.follows(w.still(), ann, stream.cursor).hears(), "")
}

// What another process committed before comes before, and so does what is told later.
func TestWhatAProcessCommitsKeepsItsPlace(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(l *Log, foreign, own Event){
		"another process wrote between": func(l *Log, _, own Event) { l.takeOwn([]Event{own}) },
		"the second is told first":      func(l *Log, first, second Event) { l.takeOwn([]Event{second}); l.takeOwn([]Event{first}) },
		"one is told twice":             func(l *Log, first, _ Event) { l.takeOwn([]Event{first}); l.takeOwn([]Event{first, first}) },
	} {
		w := newWorld(t)
		l := w.still()
		mine := w.private(ann)
		stream := w.follows(l, ann, "")
		w.says(mine, "a")
		w.refreshes(l)
		check(t, name+": before", stream.hears(), "a")

		first, second := w.appends(Event{Stream: mine, Kind: "b"}), w.appends(Event{Stream: mine, Kind: "c"})
		tell(l, first, second)

		heard := stream.hears()
		w.refreshes(l)
		if later := stream.hears(); heard != "" {
			heard += " " + later
		} else {
			heard = later
		}
		check(t, name, heard, "b c")
	}
}

// A reading that began before something was committed does not take it away.
func TestAnOlderReadingKeepsWhatAProcessCommitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	mine := w.private(ann)
	stream := w.follows(l, ann, "")
	before := w.appends(Event{Stream: mine, Kind: "a"})
	w.refreshes(l)

	l.takeOwn([]Event{w.appends(Event{Stream: mine, Kind: "b"})})
	_, err := l.take(l.incarnation, l.head, []numbered{{Event: before}})

	w.must(err)
	l.takeOwn([]Event{w.appends(Event{Stream: mine, Kind: "c"})})
	check(t, "heard", stream.hears(), "a b c")
	w.numbers(l)
	w.refreshes(l)
	check(t, "when all is numbered", stream.hears(), "")
}

// While a process catches up it withholds what is not numbered, and rings again when it no longer does.
func TestWhoCatchesUpRingsForWhatWasWithheld(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"its own": true, "another's": false} {
		w := newWorld(t)
		l := w.still()
		mine, foreign := w.private(ann), w.stream()
		stream := w.follows(l, ann, "")
		w.says(mine, "a")
		w.refreshes(l)
		check(t, name+": before", stream.hears(), "a")
		said := w.appends(Event{Stream: mine, Kind: "b"})
		if own {
			l.takeOwn([]Event{said})
		} else {
			w.refreshes(l)
		}
		w.rings("for what is new", stream.bell)

		page := make([]numbered, readAtOnce)
		for i := range page {
			page[i] = numbered{l.head + int64(i) + 1, Event{Stream: foreign, Seq: int64(i) + 1}}
		}
		more, err := l.take(l.incarnation, l.head, page)
		w.must(err)
		check(t, name+": there is more", more, true)
		check(t, name+": withheld", stream.hears(), "")
		var found []numbered
		if !own {
			found = []numbered{{Event: said}}
		}
		_, err = l.take(l.incarnation, l.head, found)

		w.must(err)
		w.rings("for what was withheld", stream.bell)
		check(t, name+": then", stream.hears(), "b")
	}
}

// While it withholds what is not numbered, what it commits itself must wait too: it would come over what
// was withheld, be it the removal of its reader.
func TestWhatAProcessCommitsWaitsForWhatIsWithheld(t *testing.T) {
	t.Parallel()
	for name, numbered := range map[string]bool{"the feed is read by pages": true, "more is not numbered than is read": false} {
		w := newWorld(t)
		l := w.still()
		l.readSize = 4
		foreign, group := w.stream(), w.stream()
		w.opens(group, "opened", ann)
		w.numbers(l)
		stream := w.follows(l, ann, "")
		w.refreshes(l)
		w.says(group, "a")
		w.closes(group, "removed", ann)
		w.refreshes(l) // and the reader is slow
		w.says(foreign, "1 2 3 4")
		if numbered {
			w.numbers(l)
		}
		_, err := l.refresh(t.Context())
		w.must(err)

		l.takeOwn([]Event{w.appends(Event{Stream: group, Kind: "secret"})})

		check(t, name+": meanwhile", stream.hears(), "")
		w.numbers(l)
		w.refreshes(l)
		check(t, name+": then", stream.hears(), "a removed")
	}
}

// Who has no room for more that is not numbered waits for the numbers, and is woken by them.
func TestWhoWaitsForNumbersIsWokenByThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	streams := w.streams(maxAhead + 1)
	for _, number := range streams {
		w.opens(number, "opened", ann)
	}
	w.numbers(l)
	stream := w.follows(l, ann, "")
	w.refreshes(l)
	for _, number := range streams {
		w.says(number, "a")
	}
	w.refreshes(l)
	check(t, "early", len(strings.Fields(stream.hears())), maxAhead)
	stream.isDeaf()

	w.numbers(l)
	w.refreshes(l)

	w.rings("for the numbers", stream.bell)
	check(t, "then", stream.hears(), "a")
	stream.isDeaf()
	w.says(streams[0], "b")
	w.refreshes(l)
	check(t, "early again", stream.hears(), "b")
	stream.isDeaf()
	w.numbers(l)
	w.refreshes(l)
	select {
	case <-stream.bell:
		t.Error("who has heard all is woken by its numbers")
	default:
	}
}
