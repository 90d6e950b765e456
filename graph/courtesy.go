package graph

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"corridor/graph/execution"
	"corridor/internal/chat"
	"corridor/internal/courtesy"
)

// largeComplexity is from where on a query is large.
const largeComplexity = 500

// A large query waits for its turn between these times, and is told to ask again after so many seconds without one: programs that came
// at once do not come back at once.
const (
	shortestWait, longestWait  = 4 * time.Second, 8 * time.Second
	fewestSeconds, mostSeconds = 3, 9
)

// turns is what large queries of keys wait for.
type turns struct{ courtesy *courtesy.Courtesy }

var _ interface {
	graphql.HandlerExtension
	graphql.OperationInterceptor
	graphql.FieldInterceptor
} = turns{}

func (turns) ExtensionName() string                   { return "Turns" }
func (turns) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptOperation waits for a turn.
func (t turns) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if !does(ctx, ast.Query) || extension.GetComplexityStats(ctx).Complexity < largeComplexity {
		return next(ctx)
	}
	within, work := t.courtesy.Begin(ctx)
	respond := next(execution.WithPause(within, courtesy.Pause))
	answered := false
	return func(ctx context.Context) *graphql.Response {
		if answered { // streams ask on until there is nothing more
			return nil
		}
		answered = true
		done, ok := work.Query(ctx, sessionOf(ctx).key.UUID, shortestWait+rand.N(longestWait-shortestWait))
		if !ok {
			return busy(ctx)
		}
		defer done()
		return respond(ctx)
	}
}

// InterceptField makes slices of what needs nothing but the processor, as the pauses between the elements of lists do.
func (turns) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	courtesy.Pause(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return next(ctx)
}

// busy refuses a large query that has not got its turn. Nothing was done, so it is paid back.
func busy(ctx context.Context) *graphql.Response {
	bill := graphql.GetOperationContext(ctx).Stats.GetExtension(billExtension).(*bill)
	standing := sessionOf(ctx).account.Return(bill.cost-1, bill.standing)
	seconds := fewestSeconds + rand.N(mostSeconds-fewestSeconds)
	refused := refusal(string(chat.CodeRateLimited), fmt.Sprintf("A lot is being read at the moment. Try again in %d seconds.", seconds))
	refused.Extensions["retryAfter"] = seconds
	if plain, _ := ctx.Value(plainRequestKey{}).(*plainRequest); plain != nil {
		plain.status = http.StatusTooManyRequests
		plain.header.Set("Retry-After", strconv.Itoa(seconds))
		standing.Show(plain.header)
	}
	return &graphql.Response{Errors: gqlerror.List{refused}, Data: []byte("null")}
}

// precedence is of people: it tells when they wait for something.
type precedence struct{ courtesy *courtesy.Courtesy }

var _ interface {
	graphql.HandlerExtension
	graphql.ResponseInterceptor
} = precedence{}

func (precedence) ExtensionName() string                   { return "Precedence" }
func (precedence) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptResponse tells it from when a response is made on until it is there.
func (p precedence) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	defer p.courtesy.Serves()()
	return next(ctx)
}
