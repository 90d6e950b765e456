package graph

import (
	"context"
	"encoding/json"
	"errors"
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
} = timeLimit(0)

func (timeLimit) ExtensionName() string                   { return "TimeLimit" }
func (timeLimit) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptOperation puts the limit around what the transport calls: around the response of a subscription, too, which is asked
// for when there is an event. After the opening or an event was cut the stream breaks off, so that the client resumes at it and does
// not miss it.
func (limit timeLimit) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation != ast.Subscription {
		respond := next(ctx)
		return func(ctx context.Context) *graphql.Response {
			response, _ := limit.cutOff(ctx, respond)
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
		var response *graphql.Response
		if response, over = limit.cutOff(ctx, respond); over {
			endSession(ctx, closeTryAgain, "Try again later")
		}
		return response
	}
}

func (limit timeLimit) cutOff(ctx context.Context, respond graphql.ResponseHandler) (_ *graphql.Response, cut bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(limit), errTimeout)
	defer cancel()
	response := respond(ctx)
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
