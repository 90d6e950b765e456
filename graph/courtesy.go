package graph

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/ast"
)

// courtesy keeps programs that read a lot from making people wait. A large query of a key takes turns with the others: half of the
// processors are never at them. And its fields are worked off one by one, because a page of 500 people would else put
// hundreds of goroutines before the one that delivers a message.
type courtesy struct {
	turns chan struct{}
	step  sync.Mutex
}

func newCourtesy() *courtesy {
	return &courtesy{turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// largeComplexity is from where on a query is large.
const largeComplexity = 500

// Behind each turn there is a rest, longer the busier the server is. Whoever is alone still reads 50,000 people in half a minute.
const (
	restsPerTurn = 3
	longestRest  = 2 * time.Second
)

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
	if !sessionOf(ctx).isOfKey() || !does(ctx, ast.Query) || extension.GetComplexityStats(ctx).Complexity < largeComplexity {
		return next(ctx)
	}
	respond := next(context.WithValue(ctx, courteousKey{}, true))
	return func(ctx context.Context) *graphql.Response {
		select {
		case c.turns <- struct{}{}:
			begun := time.Now()
			defer func() {
				time.AfterFunc(min(restsPerTurn*time.Since(begun), longestRest), func() { <-c.turns })
			}()
		case <-ctx.Done(): // it is answered at once
		}
		return respond(ctx)
	}
}

// InterceptField lets one field at a time through of those that need nothing but the processor.
func (c *courtesy) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	if graphql.GetFieldContext(ctx).IsResolver || ctx.Value(courteousKey{}) == nil {
		return next(ctx)
	}
	c.step.Lock()
	defer c.step.Unlock()
	return next(ctx)
}
