package eventlog

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// Whatever happens in whatever order, readers hear what the model says: of each stream what their
// spans cover, in its order, once. EVENTLOG_SEED plays a run again.
func TestReadersHearWhatTheModelSays(t *testing.T) {
	t.Parallel()
	seeds := []uint64{rand.Uint64(), rand.Uint64(), rand.Uint64()}
	if again, err := strconv.ParseUint(os.Getenv("EVENTLOG_SEED"), 10, 64); err == nil {
		seeds = []uint64{again}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, seed)
			for range 400 {
				p.step()
			}
			p.end()
		})
	}
}

// play is a random run beside its model.
type play struct {
	*world
	random    *rand.Rand
	readers   []uuid.UUID
	private   []int64 // by reader
	groups    []int64
	processes []*Log
	numberer  *Log

	// The model: what each reader may see in the order of commits, which groups they are in, and
	// the streams that somebody holds who has not committed yet.
	visible map[uuid.UUID][]Position
	in      map[membership]bool
	held    map[int64]bool
	holders []*holder
	floor   int64

	listeners []*listener
	past      []moment
	// began is the newest of what each reader could see when the last snapshot began.
	began map[uuid.UUID]map[int64]int64
	// reading says that a process is at work, in whose middle things may happen.
	reading bool
}

type membership struct {
	reader uuid.UUID
	stream int64
}

// holder has appended and not committed.
type holder struct {
	tx     *sqlx.Tx
	events []Event
}

// moment is a cursor, and the newest that had been heard of each stream.
type moment struct {
	reader uuid.UUID
	cursor string
	heard  map[int64]int64
}

// listener is a reader who follows, and the newest that they have heard of each stream.
type listener struct {
	*ear
	reader uuid.UUID
	heard  map[int64]int64
}

func newPlay(t *testing.T, seed uint64) *play {
	p := &play{
		world: newWorld(t), random: rand.New(rand.NewPCG(seed, 0)),
		visible: map[uuid.UUID][]Position{}, in: map[membership]bool{}, held: map[int64]bool{},
	}
	for range 3 {
		reader := uuid.New()
		p.readers = append(p.readers, reader)
		p.private = append(p.private, p.world.private(reader))
		p.in[membership{reader, p.private[len(p.private)-1]}] = true
	}
	p.groups = p.streams(4)
	p.numberer = p.still()
	for range 2 {
		l := p.interrupted(p.between)
		l.ringSize, l.readSize, l.pageSize = 8, 4, 5
		p.processes = append(p.processes, l)
	}
	return p
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

func (p *play) step() {
	p.t.Helper()
	switch n := p.random.IntN(1000); {
	case n < 350:
		p.append()
	case n < 400:
		p.hold()
	case n < 450:
		p.release()
	case n < 530:
		p.number()
	case n < 680:
		p.during(func() { p.refreshes(pick(p.random, p.processes)) })
	case n < 880:
		if len(p.listeners) > 0 {
			l := pick(p.random, p.listeners)
			p.during(func() {
				for n := 1 + p.random.IntN(6); n > 0 && !p.deliver(l); n-- {
				}
			})
		}
	case n < 950:
		if len(p.past) > 0 {
			p.resume(pick(p.random, p.past))
		}
	case n < 975:
		p.follow(pick(p.random, p.readers))
	case n < 990:
		if len(p.listeners) > 0 {
			p.drop(p.random.IntN(len(p.listeners)))
		}
	case n < 995:
		pick(p.random, p.processes).restart()
	default:
		p.trim()
	}
}

// between is what happens between the statements of a process.
func (p *play) between(query string) {
	if strings.Contains(query, "feed_state") {
		p.began = map[uuid.UUID]map[int64]int64{}
		for _, reader := range p.readers {
			p.began[reader] = p.newest(reader)
		}
		return
	}
	if !p.reading {
		return
	}
	for p.random.IntN(3) == 0 {
		switch p.random.IntN(4) {
		case 0:
			p.number()
		case 1:
			p.release()
		default:
			p.append()
		}
	}
}

func (p *play) during(work func()) {
	p.reading = true
	defer func() { p.reading = false }()
	work()
}

// newest is the newest of each stream that the reader may see.
func (p *play) newest(reader uuid.UUID) map[int64]int64 {
	newest := map[int64]int64{}
	for _, at := range p.visible[reader] {
		newest[at.Stream] = at.Seq
	}
	return newest
}

// deeds are events that make sense: some open and close.
func (p *play) deeds() (events []Event) {
	in := maps.Clone(p.in)
	for range 1 + p.random.IntN(3)*p.random.IntN(2) {
		event := Event{Stream: pick(p.random, append(p.groups, p.private...)), Kind: "line"}
		if p.held[event.Stream] {
			continue
		}
		if slices.Contains(p.groups, event.Stream) && p.random.IntN(3) == 0 {
			for _, reader := range p.readers {
				at := membership{reader, event.Stream}
				switch {
				case p.random.IntN(2) == 0:
				case in[at]:
					event.Closes = append(event.Closes, reader)
					in[at] = false
				default:
					event.Opens = append(event.Opens, reader)
					in[at] = true
				}
			}
			event.RevealFrom = int64(p.random.IntN(4))
		}
		events = append(events, event)
	}
	return events
}

func (p *play) write(ctx context.Context, tx *sqlx.Tx, events []Event) ([]Event, error) {
	if len(events) != 1 {
		return AppendAll(ctx, tx, events)
	}
	event, err := Append(ctx, tx, events[0])
	return []Event{event}, err
}

// committed tells the model, and sometimes a process that it was one of its own.
func (p *play) committed(events []Event) {
	if p.random.IntN(2) == 0 {
		pick(p.random, p.processes).takeOwn(events)
	}
	for _, event := range events {
		for _, reader := range event.Opens {
			p.in[membership{reader, event.Stream}] = true
		}
		for _, reader := range p.readers {
			if p.in[membership{reader, event.Stream}] {
				p.visible[reader] = append(p.visible[reader], Position{event.Stream, event.Seq})
			}
		}
		for _, reader := range event.Closes {
			p.in[membership{reader, event.Stream}] = false
		}
	}
}

func (p *play) append() {
	p.t.Helper()
	events := p.deeds()
	p.must(p.inTx(func(ctx context.Context, tx *sqlx.Tx) (err error) {
		events, err = p.write(ctx, tx, events)
		return err
	}))
	p.committed(events)
}

// hold begins to append and leaves it at that.
func (p *play) hold() {
	p.t.Helper()
	if len(p.holders) == 2 {
		return
	}
	tx, err := p.db.BeginTxx(p.t.Context(), nil)
	p.must(err)
	h := &holder{tx: tx}
	h.events, err = p.write(p.t.Context(), tx, p.deeds())
	p.must(err)
	for _, event := range h.events {
		p.held[event.Stream] = true
	}
	p.holders = append(p.holders, h)
}

// release ends what was held, one way or the other.
func (p *play) release() {
	p.t.Helper()
	if len(p.holders) == 0 {
		return
	}
	h := p.holders[0]
	p.holders = p.holders[1:]
	for _, event := range h.events {
		p.held[event.Stream] = false
	}
	if p.random.IntN(3) == 0 {
		p.must(h.tx.Rollback())
		return
	}
	p.must(h.tx.Commit())
	p.committed(h.events)
}

func (p *play) number() {
	p.t.Helper()
	_, err := p.numberer.number(p.t.Context())
	p.must(err)
}

func (p *play) trim() {
	p.t.Helper()
	_, err := p.numberer.trim(p.t.Context(), 0)
	p.must(err)
	p.must(p.db.Get(&p.floor, `SELECT floor FROM feed_state`))
}

// follow begins to read from now on.
func (p *play) follow(reader uuid.UUID) {
	p.t.Helper()
	p.during(func() {
		l := &listener{ear: p.resumes(pick(p.random, p.processes), reader, ""), reader: reader}
		l.heard = p.began[reader]
		p.join(l)
	})
}

// resume goes on from a moment of the past.
func (p *play) resume(from moment) {
	p.t.Helper()
	p.during(func() {
		l := &listener{ear: p.resumes(pick(p.random, p.processes), from.reader, from.cursor), reader: from.reader}
		l.heard = maps.Clone(from.heard)
		at, err := decodeCursor(testKey, from.reader, from.cursor)
		p.must(err)
		if l.reset != (at.pos < p.floor) {
			p.t.Fatalf("from place %d with the floor at %d it is reset: %v", at.pos, p.floor, l.reset)
		}
		p.join(l)
	})
}

// join takes the first delivery.
func (p *play) join(l *listener) {
	p.t.Helper()
	if len(p.listeners) == 6 {
		p.drop(0)
	}
	p.listeners = append(p.listeners, l)
	if !p.deliver(l) {
		p.t.Fatal("the first delivery is an event")
	}
}

func (p *play) drop(i int) {
	p.listeners[i].Close()
	p.listeners = slices.Delete(p.listeners, i, i+1)
}

// deliver takes the next delivery and reports whether there was no event.
func (p *play) deliver(l *listener) (quiet bool) {
	p.t.Helper()
	before, late := l.at.pos, l.reset || l.at.pos < p.floor
	delivery := l.next()
	switch {
	case delivery.Reset:
		if !late {
			p.t.Fatalf("at place %d it was reset, and the floor is %d", before, p.floor)
		}
		l.heard = maps.Clone(p.began[l.reader])
	case delivery.Event != nil:
		got := Position{delivery.Event.Stream, delivery.Event.Seq}
		want := slices.IndexFunc(p.visible[l.reader], func(at Position) bool {
			return at.Stream == got.Stream && at.Seq > l.heard[at.Stream]
		})
		if want < 0 || p.visible[l.reader][want] != got {
			p.t.Fatalf("heard %v behind %d, want one of %v", got, l.heard[got.Stream], p.missing(l))
		}
		l.heard[got.Stream] = got.Seq
	}
	if len(l.at.ahead) > maxAhead {
		p.t.Fatalf("the cursor has %d exceptions", len(l.at.ahead))
	}
	p.past = append(p.past, moment{l.reader, delivery.Cursor, maps.Clone(l.heard)})
	return delivery.Event == nil
}

// missing is what a listener may see and did not hear.
func (p *play) missing(l *listener) (missing []Position) {
	for _, at := range p.visible[l.reader] {
		if at.Seq > l.heard[at.Stream] {
			missing = append(missing, at)
		}
	}
	return missing
}

// end lets everybody hear the rest, who follows and who comes back from the past.
func (p *play) end() {
	p.t.Helper()
	for len(p.holders) > 0 {
		p.release()
	}
	for range 5 {
		p.numbers(p.numberer)
		for _, process := range p.processes {
			p.refreshes(process)
		}
		for _, l := range p.listeners {
			for range 2 { // a sign of life may come before the last page
				for !p.deliver(l) {
				}
			}
			if missing := p.missing(l); len(missing) > 0 || len(l.at.ahead) > 0 {
				p.t.Errorf("a reader did not hear %v, and has the exceptions %v", missing, l.at.ahead)
			}
		}
		for range 6 {
			p.resume(pick(p.random, p.past))
			p.append()
		}
	}
	for len(p.listeners) > 0 {
		p.drop(0)
	}
	for _, process := range p.processes {
		check(p.t, "who is still watched for", len(process.byReader)+len(process.byStream), 0)
	}
}
