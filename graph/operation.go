package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"time"

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

// A running operation has one response, or is a subscription and has many.
type running struct {
	ctx     context.Context
	respond graphql.ResponseHandler
	source  *source
}

// run begins an operation. The bell is rung when a subscription may have another response; it must not
// wait. The operation must be closed.
func run(ctx context.Context, exec graphql.GraphExecutor, operation *graphql.OperationContext, bell func()) running {
	from := &source{bell: bell}
	if operation.Operation.Operation == ast.Subscription {
		from.wanted = wantedBy(operation.Doc)
		from.operation = sharedOperationOf(operation)
	}
	respond, ctx := exec.DispatchOperation(context.WithValue(ctx, sourceKey{}, from), operation)
	return running{ctx, respond, from}
}

// next returns the next response, if there is one. If there may be another one later it says after how long to
// ask for it, unless the bell rings before.
func (r running) next() (response *graphql.Response, what outcome, again time.Duration) {
	if r.source.poll != nil {
		if what, again = r.source.poll(r.ctx); what != ready {
			return nil, what, again
		}
	}
	if response = r.answer(); response == nil {
		return nil, noMore, 0
	}
	return response, ready, again
}

// answer makes the response, to the event that was found if it is a subscription.
func (r running) answer() *graphql.Response {
	event := r.source.event
	if event == nil {
		return r.respond(r.ctx)
	}
	r.source.event = nil
	resolve := func(ctx context.Context, event chat.Event) *graphql.Response {
		r.source.put(event)
		return r.respond(ctx)
	}
	return r.source.fanOut.respond(r.ctx, r.source.operation, event, r.source.wanted, resolve)
}

// failures are why there is no more of a subscription, if it is not complete.
func (r running) failures() gqlerror.List { return r.source.failures }

func (r running) close() {
	if r.source != nil && r.source.close != nil {
		r.source.close()
	}
}

// outcome is what came of asking for the next event.
type outcome int

const (
	ready outcome = iota
	notYet
	noMore
)

// A source is where the events of a subscription come from. Whoever answers the operation asks it for
// the next one before it asks gqlgen for the response: so a subscription that waits needs no goroutine.
type source struct {
	bell func()
	// poll has an event ready, and says after how long to ask again. Where it is nil gqlgen waits by
	// itself.
	poll  func(ctx context.Context) (outcome, time.Duration)
	close func()
	// event is what was found, of a stream whose responses may be the same for many. It is put to gqlgen when it is resolved.
	event  chat.Event
	put    func(chat.Event)
	fanOut *fanOut
	// wanted is what the operation selects of its events, operation what it has in common with those of others.
	wanted    chat.Wanted
	operation sharedOperation
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
	for _, operation := range document.Operations {
		eachField(operation.SelectionSet, func(field *ast.Field) {
			switch field.Name {
			case "message":
				wanted.Message = true
			case "sender":
				wanted.Sender = true
				eachField(field.SelectionSet, func(of *ast.Field) { wanted.Availability = wanted.Availability || of.Name == "isAvailable" })
			case "files":
				wanted.Files = true
			case "notify":
				wanted.Notify = true
			case "lastMessage":
				wanted.LastMessage = true
			case "participantCount":
				wanted.ParticipantCount = true
			case "joinedAt":
				wanted.Joined = true
			case "viewerReadCursor":
				wanted.ReadPosition = true
			case "unreadCount":
				wanted.UnreadCount = true
			case "conversation":
				wanted.ConversationID = true
				eachField(field.SelectionSet, func(of *ast.Field) {
					wanted.Conversation = wanted.Conversation || of.Name != "id" && of.Name != "__typename"
				})
			}
		})
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
