package graph

import (
	"context"
	"fmt"
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

	"corridor/internal/chat"
)

// courtesy keeps programs that read a lot from making people wait. It is for what keys ask: a large query takes turns with the others: half of the
// processors are never at it. It is worked off in short slices, and between two of them, and before it asks the database for something,
// it gives way to what people wait for, because a page of 500 people would else put hundreds of goroutines before the one that
// delivers a message.
type courtesy struct {
	turns chan struct{}

	// people is how many responses to people are being made, and quiet since when there are none.
	people, quiet atomic.Int64

	step sync.Mutex
	// begun is when the present slice began.
	begun time.Time
}

func newCourtesy() *courtesy {
	return &courtesy{turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

const (
	// largeComplexity is from where on a query is large.
	largeComplexity = 500
	// Behind each turn there is a rest, longer the busier the server is. Whoever is alone still reads 50,000 people in half a minute.
	restsPerTurn = 2
	longestRest  = 2 * time.Second
	// slice is as long as nobody notices.
	slice = 300 * time.Microsecond
	// What people wait for comes in pieces: a message is written, and then read for each who hears of it. It is over when there
	// was none for so long.
	quietTime = 3 * time.Millisecond
	// longestWay bounds how long a slice gives way: where people never rest, large queries go on slowly.
	longestWay = 25 * time.Millisecond
)

// turnTime is how long a large query waits for its turn, and busySeconds when to ask again without one.
const (
	turnTime    = 8 * time.Second
	busySeconds = 5
)

// busy refuses a large query that has not got its turn. Nothing was done, so it is paid back.
func busy(ctx context.Context) *graphql.Response {
	session := sessionOf(ctx)
	if bill, ok := graphql.GetOperationContext(ctx).Stats.GetExtension(billExtension).(*bill); ok {
		session.account.Take(1 - bill.cost)
	}
	refused := refusal(string(chat.CodeRateLimited), fmt.Sprintf("Others are reading a lot at the moment. Try again in %d seconds.", busySeconds))
	refused.Extensions["retryAfter"] = busySeconds
	if plain, _ := ctx.Value(plainRequestKey{}).(*plainRequest); plain != nil {
		plain.status = http.StatusTooManyRequests
		plain.header.Set("Retry-After", strconv.Itoa(busySeconds))
	}
	return &graphql.Response{Errors: gqlerror.List{refused}, Data: []byte("null")}
}

type courteousKey struct{}

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
	respond := next(context.WithValue(ctx, courteousKey{}, c))
	return func(ctx context.Context) *graphql.Response {
		select {
		case c.turns <- struct{}{}:
			begun := time.Now()
			defer func() {
				time.AfterFunc(min(restsPerTurn*time.Since(begun), longestRest), func() { <-c.turns })
			}()
		case <-time.After(turnTime):
			return busy(ctx)
		case <-ctx.Done(): // it is answered at once
		}
		return respond(ctx)
	}
}

// InterceptField lets one field at a time through of those that need nothing but the processor.
func (c *courtesy) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	if graphql.GetFieldContext(ctx).IsResolver {
		return next(ctx)
	}
	defer politely(ctx)()
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
	p.courtesy.people.Add(1)
	defer func() {
		p.courtesy.quiet.Store(time.Now().UnixNano())
		p.courtesy.people.Add(-1)
	}()
	return next(ctx)
}

// giveWay waits until people wait for nothing, but not for ever.
func (c *courtesy) giveWay() {
	for until := time.Now().Add(longestWay); ; time.Sleep(slice) {
		now := time.Now()
		if !now.Before(until) || c.people.Load() == 0 && now.UnixNano()-c.quiet.Load() > int64(quietTime) {
			return
		}
	}
}

// politely waits until it is the turn of this piece of a large query, of which there are many, and returns what ends it. For all others
// it does nothing. What waits for something must not do so between the two.
func politely(ctx context.Context) (end func()) {
	c, _ := ctx.Value(courteousKey{}).(*courtesy)
	if c == nil {
		return func() {}
	}
	c.step.Lock()
	if time.Since(c.begun) > slice {
		c.giveWay()
		c.begun = time.Now()
	}
	return c.step.Unlock
}

// givingWay waits before something that is long and can't be cut into slices, if it is for a large query.
func givingWay(ctx context.Context) {
	if c, _ := ctx.Value(courteousKey{}).(*courtesy); c != nil {
		c.giveWay()
	}
}
