package graph

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"corridor/graph/execution"
	"corridor/internal/chat"
)

// courtesy keeps programs that read a lot from making people wait. A large query of a key takes turns with those of others, one at
// a time for two processors. It is worked off in short slices with pauses between them, in which nothing of it runs: only then Go
// looks whether anything came over the network. Where people wait for something by then, and before it asks the database for something,
// it gives way to them.
type courtesy struct {
	turns chan struct{}
	// wanted is how many keys wait for a turn or have it.
	wanted atomic.Int64

	mu sync.Mutex
	// lines are of the keys that have large queries.
	lines map[chat.PartnerKeyID]*line

	// people is how many are being served, and quiet since when there is none.
	people, quiet atomic.Int64

	present atomic.Pointer[slice]
}

// A line is of the large queries of one key: one of them at a time wants a turn, so that who asks for much at once has no more turns than others.
type line struct {
	first chan struct{}
	// length is how many stand in it, the first one too. It is behind the lock of courtesy.
	length int
}

// stands has a query of a key stand in its line until leave is called.
func (c *courtesy) stands(key chat.PartnerKeyID) (of *line, leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of = c.lines[key]
	if of == nil {
		of = &line{first: make(chan struct{}, 1)}
		c.lines[key] = of
	}
	of.length++
	return of, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if of.length--; of.length == 0 {
			delete(c.lines, key)
		}
	}
}

// A slice is a short time in which large queries run. Whoever comes when it is over ends it, and the others wait for the next.
type slice struct {
	until time.Time
	ends  atomic.Bool
	ended chan struct{}
}

func newSlice() *slice { return &slice{until: time.Now().Add(sliceTime), ended: make(chan struct{})} }

func newCourtesy() *courtesy {
	c := &courtesy{turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), lines: map[chat.PartnerKeyID]*line{}}
	c.present.Store(newSlice())
	return c
}

const (
	// largeComplexity is from where on a query is large.
	largeComplexity = 500
	// Behind each turn there is a rest of so many times its length, for each key that wants one: the more there are, the less of the server
	// they have together. Whoever is alone still reads 50,000 people in half a minute.
	restsForEach, mostRests = 2, 24
	longestRest             = 3 * time.Second
	// A slice is as long as nobody notices, and a pause as short as can be: the clock of a process that rests has milliseconds.
	sliceTime, pause = 300 * time.Microsecond, 300 * time.Microsecond
	// What people wait for comes in pieces: a message is written, and then read for each who hears of it. It is over when there
	// was none for so long.
	quietTime = 3 * time.Millisecond
	// longestWay bounds how long a slice gives way: where people never rest, large queries go on slowly.
	longestWay = 25 * time.Millisecond
	// mostWays is how much way a query gives in all: by then it only pauses, or it would hold its turn for ever.
	mostWays = time.Second
)

// A large query waits for its turn between these times, and is told to ask again after so many seconds without one: programs that came
// at once do not come back at once.
const (
	shortestWait, longestWait  = 4 * time.Second, 8 * time.Second
	fewestSeconds, mostSeconds = 3, 9
)

// busy refuses a large query that has not got its turn. Nothing was done, so it is paid back.
func busy(ctx context.Context) *graphql.Response {
	session := sessionOf(ctx)
	if bill, ok := graphql.GetOperationContext(ctx).Stats.GetExtension(billExtension).(*bill); ok {
		session.account.Take(1 - bill.cost)
	}
	seconds := fewestSeconds + rand.N(mostSeconds-fewestSeconds)
	refused := refusal(string(chat.CodeRateLimited), fmt.Sprintf("A lot is being read at the moment. Try again in %d seconds.", seconds))
	refused.Extensions["retryAfter"] = seconds
	if plain, _ := ctx.Value(plainRequestKey{}).(*plainRequest); plain != nil {
		plain.status = http.StatusTooManyRequests
		plain.header.Set("Retry-After", strconv.Itoa(seconds))
	}
	return &graphql.Response{Errors: gqlerror.List{refused}, Data: []byte("null")}
}

type courteousKey struct{}

// courteous is a large query.
type courteous struct {
	*courtesy
	// given is how long it has waited for people, in nanoseconds.
	given atomic.Int64
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationInterceptor
	graphql.FieldInterceptor
} = (*courtesy)(nil)

func (*courtesy) ExtensionName() string                   { return "Courtesy" }
func (*courtesy) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptOperation waits for a turn.
func (c *courtesy) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if !does(ctx, ast.Query) || extension.GetComplexityStats(ctx).Complexity < largeComplexity {
		return next(ctx)
	}
	respond := next(execution.WithPause(context.WithValue(ctx, courteousKey{}, &courteous{courtesy: c}), politely))
	return func(ctx context.Context) *graphql.Response {
		enough := time.After(shortestWait + rand.N(longestWait-shortestWait))
		line, leave := c.stands(sessionOf(ctx).key)
		defer leave()
		if !gets(ctx, line.first, enough) {
			return busy(ctx)
		}
		defer func() { <-line.first }()
		c.wanted.Add(1)
		defer c.wanted.Add(-1)
		if !gets(ctx, c.turns, enough) {
			return busy(ctx)
		}
		begun := time.Now()
		defer func() {
			rests := min(restsForEach*c.wanted.Load(), mostRests)
			time.AfterFunc(min(time.Duration(rests)*time.Since(begun), longestRest), func() { <-c.turns })
		}()
		return respond(ctx)
	}
}

// gets takes one of a few places, unless it has been enough, or nobody waits for the answer any more.
func gets(ctx context.Context, places chan struct{}, enough <-chan time.Time) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-enough:
	case <-ctx.Done():
	}
	return false
}

// InterceptField makes slices of what needs nothing but the processor, as the pauses between the elements of lists do.
func (c *courtesy) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	politely(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return next(ctx)
}

// precedence is of people: it tells when they wait for something.
type precedence struct{ courtesy *courtesy }

var _ interface {
	graphql.HandlerExtension
	graphql.ResponseInterceptor
} = precedence{}

func (precedence) ExtensionName() string                   { return "Precedence" }
func (precedence) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptResponse tells it from when a response is made on until it is there.
func (p precedence) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	defer p.courtesy.serves()()
	return next(ctx)
}

// serves tells that somebody is served from now on until done is called.
func (c *courtesy) serves() (done func()) {
	c.people.Add(1)
	return func() {
		c.quiet.Store(time.Now().UnixNano())
		c.people.Add(-1)
	}
}

// giveWay pauses until people wait for nothing, but not for ever.
func (q *courteous) giveWay(ctx context.Context) {
	begun := time.Now()
	until := begun.Add(min(longestWay, mostWays-time.Duration(q.given.Load())))
	for now := begun; ctx.Err() == nil; {
		time.Sleep(pause)
		if now = time.Now(); now.After(until) || q.people.Load() == 0 && now.UnixNano()-q.quiet.Load() > int64(quietTime) {
			break
		}
	}
	q.given.Add(int64(time.Since(begun) - pause))
}

// politely waits until this piece of a large query, of which there are many, may run. For all others it does nothing.
func politely(ctx context.Context) {
	q, _ := ctx.Value(courteousKey{}).(*courteous)
	if q == nil {
		return
	}
	for {
		now := q.present.Load()
		switch {
		case time.Now().Before(now.until):
			return
		case now.ends.CompareAndSwap(false, true):
			q.giveWay(ctx)
			q.present.Store(newSlice())
			close(now.ended)
			return
		}
		<-now.ended
	}
}

// GiveWay pauses as long as people wait for something, for a moment at most: what programs download calls it before each long piece.
func (h *Handler) GiveWay(ctx context.Context) { (&courteous{courtesy: h.courtesy}).giveWay(ctx) }

// givingWay waits before something that is long and can't be cut into slices, if it is for a large query.
func givingWay(ctx context.Context) {
	if q, _ := ctx.Value(courteousKey{}).(*courteous); q != nil {
		q.giveWay(ctx)
	}
}
