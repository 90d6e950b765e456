package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"corridor/internal/chat"
)

// readParams reads a request that checkRequest has let through.
func readParams(request io.Reader) (params graphql.RawParams, err error) {
	decoder := json.NewDecoder(request)
	decoder.UseNumber() // a float has not room for every integer
	err = decoder.Decode(&params)
	params.ReadTime = graphql.TraceTiming{Start: graphql.Now(), End: graphql.Now()}
	return params, err
}

// execute runs an operation and gives each response to send, in this goroutine, until there are no more
// or send wants none. The errors are why a subscription can't go on.
func execute(ctx context.Context, exec graphql.GraphExecutor, operation *graphql.OperationContext, send func(*graphql.Response) bool) gqlerror.List {
	source := &source{wanted: wantedBy(operation.Doc)}
	next, ctx := exec.DispatchOperation(context.WithValue(ctx, sourceKey{}, source), operation)
	if source.close != nil {
		defer source.close()
	}
	for source.next == nil || source.next(ctx) {
		if response := next(ctx); response == nil || !send(response) {
			break
		}
	}
	return source.failures
}

// A source is where the events of a subscription come from. Whoever answers the operation asks it for
// the next one before it asks gqlgen for the response: so one goroutine does both, and an open
// subscription that waits costs no other.
type source struct {
	// next waits for an event and has it ready; there is none when it returns false. Where it is nil
	// gqlgen waits by itself.
	next  func(ctx context.Context) bool
	close func()
	// event is the one that it has ready, and wanted what the operation selects of it.
	event  chat.Event
	wanted chat.Wanted
	// failures are why there are no more events.
	failures gqlerror.List
}

type sourceKey struct{}

func sourceOf(ctx context.Context) *source {
	s, _ := ctx.Value(sourceKey{}).(*source)
	return s
}

// wantedBy tells what events are asked for. It is enough to know what the document names anywhere: to
// look up too much costs a little.
func wantedBy(document *ast.QueryDocument) (wanted chat.Wanted) {
	var walk func(ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, selection := range set {
			switch selection := selection.(type) {
			case *ast.Field:
				switch selection.Name {
				case "conversation":
					wanted.Conversation = true
				case "message":
					wanted.Message = true
				case "sender":
					wanted.Sender = true
				case "notify":
					wanted.Conversation, wanted.Message = true, true
				}
				walk(selection.SelectionSet)
			case *ast.InlineFragment:
				walk(selection.SelectionSet)
			}
		}
	}
	for _, operation := range document.Operations {
		walk(operation.SelectionSet)
	}
	for _, fragment := range document.Fragments {
		walk(fragment.SelectionSet)
	}
	return wanted
}

// writeResponse writes a response as JSON.
func writeResponse(to *bytes.Buffer, response *graphql.Response) {
	if len(response.Errors) == 0 && len(response.Extensions) == 0 && len(response.Data) > 0 && response.HasNext == nil {
		to.WriteString(`{"data":`)
		to.Write(response.Data) // gqlgen has just made it
		to.WriteByte('}')
		return
	}
	data, err := json.Marshal(response)
	if err != nil {
		panic(err) // as gqlgen does: what it made is JSON
	}
	to.Write(data)
}
