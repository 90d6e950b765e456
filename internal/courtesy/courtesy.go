// Package courtesy keeps programs that read a lot from making people wait.
//
// A large query of a program and each piece of a download takes a turn, of which there is one at a time for two processors, and rests
// behind it. Within its turn it is worked off in short slices with pauses between them, in which nothing of it runs: only then Go
// looks whether anything came over the network. Where people wait for something by then, and before it asks the database for something, it
// gives way to them.
package courtesy

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Courtesy is between all whom one process serves.
type Courtesy struct {
	turns chan struct{}
	// queries and pieces of downloads stand here first, so that each have every other turn while there are both.
	queries, pieces chan struct{}
	// downloads are those that have begun.
	downloads chan struct{}

	mu sync.Mutex
	// lines are of those who have something large under way.
	lines map[stand]*line

	// people is how many are being served, and quiet since when there is none.
	people, quiet atomic.Int64

	present atomic.Pointer[slice]
}

// A stand is where the queries of one asker stand in line, or their downloads.
type stand struct {
	asker     [16]byte
	downloads bool
}

// A line lets one at a time want turns, so that who asks for much at once has no more of them than others.
type line struct {
	first chan struct{}
	// length is how many stand in it, the first one too. It is behind the lock of Courtesy.
	length int
}

// A slice is a short time in which large work runs. Whoever comes when it is over ends it, and the others wait for the next.
type slice struct {
	until time.Time
	ends  atomic.Bool
	ended chan struct{}
}

func newSlice() *slice { return &slice{until: time.Now().Add(sliceTime), ended: make(chan struct{})} }

// New returns the courtesy of a process.
func New() *Courtesy { return newCourtesy(max(1, runtime.GOMAXPROCS(0)/2)) }

func newCourtesy(atOnce int) *Courtesy {
	places := func() chan struct{} { return make(chan struct{}, atOnce) }
	c := &Courtesy{turns: places(), queries: places(), pieces: places(), downloads: make(chan struct{}, downloadsAtOnce), lines: map[stand]*line{}}
	c.present.Store(newSlice())
	return c
}

const (
	// Behind each turn there is a rest of so many times its length, by how many want one: the more there are, the less of the server they have
	// together. Whoever is alone still reads 50,000 people in less than a minute, and also where people write all the time. The longest is
	// for large queries, which do not wait for their turn for long: there are two rests before it.
	restsForEach, fewestRests, mostRests = 2, 4, 64
	longestRestForEach, longestRest      = 500 * time.Millisecond, 2500 * time.Millisecond
	// downloadsAtOnce have begun. They have turns one after the other: with more, each would hear nothing for so long between two pieces that
	// proxies took it for dead.
	downloadsAtOnce = 4
	// A slice is as long as nobody notices, and a pause as short as can be: the clock of a process that rests has milliseconds.
	sliceTime, pause = 300 * time.Microsecond, 300 * time.Microsecond
	// What people wait for comes in pieces: a message is written, and then read for each who hears of it. It is over when there
	// was none for so long.
	quietTime = 3 * time.Millisecond
	// longestWay bounds how long a slice gives way: where people never rest, large work goes on slowly.
	longestWay = 25 * time.Millisecond
	// mostWays is how much way is given within a turn: by then it only pauses, or it would hold its turn for ever.
	mostWays = time.Second
)

// Serves tells that somebody is served from now on until done is called.
func (c *Courtesy) Serves() (done func()) {
	c.people.Add(1)
	return func() {
		c.quiet.Store(time.Now().UnixNano())
		c.people.Add(-1)
	}
}

// Work is something large that a program has asked for.
type Work struct {
	*Courtesy
	// given is how long it has waited for people within its turn, in nanoseconds.
	given atomic.Int64
}

type workKey struct{}

// Begin returns what is to be done by turns, and a context by which it pauses and gives way.
func (c *Courtesy) Begin(ctx context.Context) (context.Context, *Work) {
	w := &Work{Courtesy: c}
	return context.WithValue(ctx, workKey{}, w), w
}

// Query waits for the turn of a large query, no longer than patience: an asker has one of them at a time. The turn lasts until done is called.
func (w *Work) Query(ctx context.Context, asker [16]byte, patience time.Duration) (done func(), ok bool) {
	enough := time.After(patience)
	leave, ok := w.enters(ctx, stand{asker, false}, enough, w.queries)
	if !ok {
		return nil, false
	}
	return w.turn(ctx, enough, leave)
}

// Download waits until a download may begin, no longer than patience: an asker has one of them at a time. It may have turns until done is called.
func (w *Work) Download(ctx context.Context, asker [16]byte, patience time.Duration) (done func(), ok bool) {
	return w.enters(ctx, stand{asker, true}, time.After(patience), w.downloads)
}

// Piece waits for the turn of the next piece of a download. The turn lasts until done is called.
func (w *Work) Piece(ctx context.Context) (done func(), err error) {
	leave, ok := takes(ctx, nil, w.pieces)
	if ok {
		done, ok = w.turn(ctx, nil, leave)
	}
	if !ok {
		return nil, ctx.Err()
	}
	return done, nil
}

// turn waits for a turn, unless it has been enough, or nobody waits any more for what it is for. Behind its end there is a rest. With it, or without a
// turn, its place in front of the turns is left.
func (w *Work) turn(ctx context.Context, enough <-chan time.Time, leave func()) (done func(), ok bool) {
	back, ok := takes(ctx, enough, w.turns)
	if !ok {
		leave()
		return nil, false
	}
	begun := time.Now()
	w.given.Store(0)
	return func() {
		wanted := time.Duration(max(1, w.wanted()))
		rest := min(max(restsForEach*wanted, fewestRests), mostRests) * time.Since(begun)
		time.AfterFunc(min(rest, longestRestForEach*wanted, longestRest), back)
		leave()
	}, true
}

// enters waits in a line to be its first, and then for a place.
func (c *Courtesy) enters(ctx context.Context, at stand, enough <-chan time.Time, places chan struct{}) (leave func(), ok bool) {
	c.mu.Lock()
	in := c.lines[at]
	if in == nil {
		in = &line{first: make(chan struct{}, 1)}
		c.lines[at] = in
	}
	in.length++
	c.mu.Unlock()
	away := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if in.length--; in.length == 0 {
			delete(c.lines, at)
		}
	}
	back, ok := takes(ctx, enough, in.first, places)
	if !ok {
		away()
		return nil, false
	}
	return func() {
		back()
		away()
	}, true
}

// wanted is how many lines there are that want turns.
func (c *Courtesy) wanted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lines)
}

// takes takes a place of each of some that have few, one after the other; all or none until it has been enough.
func takes(ctx context.Context, enough <-chan time.Time, of ...chan struct{}) (back func(), ok bool) {
	back = func() {}
	for _, places := range of {
		before := back
		select {
		case places <- struct{}{}:
			back = func() { <-places; before() }
		case <-enough:
			before()
			return nil, false
		case <-ctx.Done():
			before()
			return nil, false
		}
	}
	return back, true
}

// Pause waits until this piece of large work, of which there are many, may run. For all else it does nothing.
func Pause(ctx context.Context) {
	w, _ := ctx.Value(workKey{}).(*Work)
	if w == nil {
		return
	}
	for {
		now := w.present.Load()
		switch {
		case time.Now().Before(now.until):
			return
		case now.ends.CompareAndSwap(false, true):
			w.giveWay(ctx)
			w.present.Store(newSlice())
			close(now.ended)
			return
		}
		<-now.ended
	}
}

// GiveWay waits before something that is long and can't be cut into slices, as statements are, if it is for large work.
func GiveWay(ctx context.Context) {
	if w, _ := ctx.Value(workKey{}).(*Work); w != nil {
		w.giveWay(ctx)
	}
}

// giveWay pauses until people wait for nothing, but not for ever.
func (w *Work) giveWay(ctx context.Context) {
	begun := time.Now()
	until := begun.Add(min(longestWay, mostWays-time.Duration(w.given.Load())))
	for now := begun; ctx.Err() == nil; {
		time.Sleep(pause)
		if now = time.Now(); now.After(until) || w.people.Load() == 0 && now.UnixNano()-w.quiet.Load() > int64(quietTime) {
			break
		}
	}
	w.given.Add(int64(time.Since(begun) - pause))
}
