package graph

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

const codeTimeout = "TIMEOUT"

var errTimeout = errors.New("the operation took too long")

// A timeLimit cuts what takes too long: a query, a mutation, the opening of a
// subscription, the resolution of one event.
type timeLimit time.Duration

var _ interface {
	graphql.HandlerExtension
	graphql.OperationInterceptor
	graphql.FieldInterceptor
} = timeLimit(0)

func (timeLimit) ExtensionName() string                   { return "TimeLimit" }
func (timeLimit) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptOperation puts the limit around what the transport calls. After the
// opening or an event was cut the stream breaks off, so that the client resumes
// at it and does not miss it.
func (limit timeLimit) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation != ast.Subscription {
		respond := next(ctx)
		return func(ctx context.Context) *graphql.Response {
			ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(limit), errTimeout)
			defer cancel()
			response, _ := cutOff(ctx, respond(ctx))
			return response
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	opening := time.AfterFunc(time.Duration(limit), func() { cancel(errTimeout) })
	respond := next(ctx)
	if !opening.Stop() {
		cancel(errTimeout)
		endSession(ctx, closeTryAgain, "Try again later")
		return graphql.OneShot(timeoutResponse())
	}
	over := false
	return func(ctx context.Context) *graphql.Response {
		if over {
			return nil
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		clock := &eventClock{start: func() *time.Timer {
			return time.AfterFunc(time.Duration(limit), func() { cancel(errTimeout) })
		}}
		defer clock.stop()
		var response *graphql.Response
		if response, over = cutOff(ctx, respond(context.WithValue(ctx, eventClockKey{}, clock))); over {
			endSession(ctx, closeTryAgain, "Try again later")
		}
		return response
	}
}

// InterceptField starts an event's clock at its first field: before that the
// stream only waits for the event.
func (limit timeLimit) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	// The nearest field is found at once, the clock only at the end of the chain.
	if field := graphql.GetFieldContext(ctx); field == nil || field.Parent == nil || field.Parent.Parent == nil {
		if clock, ok := ctx.Value(eventClockKey{}).(*eventClock); ok {
			clock.run()
		}
	}
	return next(ctx)
}

type (
	eventClockKey struct{}
	eventClock    struct {
		once  sync.Once
		start func() *time.Timer
		timer *time.Timer
	}
)

func (c *eventClock) run() { c.once.Do(func() { c.timer = c.start() }) }

func (c *eventClock) stop() {
	c.once.Do(func() {})
	if c.timer != nil {
		c.timer.Stop()
	}
}

func cutOff(ctx context.Context, response *graphql.Response) (_ *graphql.Response, cut bool) {
	if context.Cause(ctx) != errTimeout || response != nil && len(response.Errors) == 0 {
		return response, false
	}
	return timeoutResponse(), true
}

func timeoutResponse() *graphql.Response {
	return &graphql.Response{
		Data:   json.RawMessage("null"),
		Errors: gqlerror.List{refusal(codeTimeout, "This took too long and was stopped. Try again, a mutation with the same client key.")},
	}
}
