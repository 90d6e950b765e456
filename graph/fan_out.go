package graph

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"

	"corridor/internal/chat"
)

// A message goes to everybody in a group at once, and most of them are shown the same: fanOut has it resolved and written once for all of
// those. Whether somebody may have an event, and how it makes itself felt to them, was found out for each before. What is shared is resolved for
// nobody: there is no reader in its context, and who asks for one all the same makes the operation one that is not shared.
// docs/decisions/0022-one-encoding-for-many.md says why nothing can leak.
type fanOut struct {
	chat *chat.Service
	// responses counts what is sent: shared what others had been sent too, alone the rest.
	responses     *prometheus.CounterVec
	shared, alone prometheus.Counter

	mu sync.Mutex
	// written are the last responses, recent their keys, of which the one at next is the oldest.
	written map[sharedKey]*sharedResponse
	recent  [sharedAtOnce]sharedKey
	next    int
	// personal are operations that ask who is reading.
	personal map[sharedOperation]bool
}

const (
	// sharedAtOnce is how many responses are kept. All who listen take theirs within moments.
	sharedAtOnce = 256
	// maxPersonal bounds what is known of operations.
	maxPersonal = 1000
)

// sharedOperation is what several readers ask for: the same operation of a document, which the cache of documents has once, with the same
// variables, as far as they bear on what is shown. It keeps neither: both may be large.
type sharedOperation struct {
	operation weak.Pointer[ast.OperationDefinition]
	variables [sha256.Size]byte
}

type sharedKey struct {
	sharedOperation
	of    chat.MessageID
	alike chat.Alike
}

// A sharedResponse is a response in the pieces between which its reader's cursor stands; none if it can't be shared.
type sharedResponse struct {
	once   sync.Once
	pieces [][]byte
}

func newFanOut(service *chat.Service) *fanOut {
	responses := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "corridor_events_sent_total", Help: "Events that were sent, by whether they were resolved for the reader alone or for all who are shown the same.",
	}, []string{"resolved"})
	return &fanOut{
		chat: service, shared: responses.WithLabelValues("together"), alone: responses.WithLabelValues("alone"), responses: responses,
		written: map[sharedKey]*sharedResponse{}, personal: map[sharedOperation]bool{},
	}
}

// respond returns the response to an event of a stream, resolving it if nobody has who is shown the same.
func (f *fanOut) respond(ctx context.Context, by sharedOperation, event chat.Event, wanted chat.Wanted, resolve func(context.Context, chat.Event) *graphql.Response) *graphql.Response {
	if added, ok := event.(chat.MessageAdded); ok {
		if shared := f.sharedBy(ctx, by, added, wanted, resolve); shared != nil {
			return shared
		}
	}
	f.alone.Inc()
	return resolve(ctx, event)
}

// sharedBy is nil if the event is to be resolved for its reader alone.
func (f *fanOut) sharedBy(ctx context.Context, by sharedOperation, event chat.MessageAdded, wanted chat.Wanted, resolve func(context.Context, chat.Event) *graphql.Response) *graphql.Response {
	common, alike, ok := event.InCommon(wanted)
	if !ok {
		return nil
	}
	response := f.of(sharedKey{by, event.MessageID, alike})
	if response == nil {
		return nil
	}
	first := false
	response.once.Do(func() {
		first = true
		place := rand.Text() // nobody could have written it into a message
		common.Cursor = place
		someone := &nobody{stranger: common.SenderID()}
		made := resolve(someone.reads(ctx, f.chat), common)
		switch {
		case someone.wasAsked.Load():
			f.isPersonal(by)
		case made != nil && len(made.Errors) == 0:
			response.pieces = bytes.Split(bytes.Clone(made.Data), []byte(place))
		}
	})
	if response.pieces == nil {
		return nil
	}
	if first {
		f.alone.Inc()
	} else {
		f.shared.Inc()
	}
	return &graphql.Response{Data: bytes.Join(response.pieces, []byte(event.Cursor))}
}

// of returns what there is for a key, nil if its operation is personal.
func (f *fanOut) of(key sharedKey) *sharedResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.personal[key.sharedOperation] {
		return nil
	}
	shared := f.written[key]
	if shared == nil {
		delete(f.written, f.recent[f.next])
		shared = &sharedResponse{}
		f.written[key], f.recent[f.next] = shared, key
		f.next = (f.next + 1) % sharedAtOnce
	}
	return shared
}

func (f *fanOut) isPersonal(by sharedOperation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.personal) == maxPersonal {
		clear(f.personal)
	}
	f.personal[by] = true
}

// nobody is for whom what is shared is resolved.
type nobody struct {
	// stranger is somebody whom none of the readers is.
	stranger chat.UserID
	// wasAsked says that something depends on who reads.
	wasAsked atomic.Bool
}

type nobodyKey struct{}

// reads takes the reader out of a context: who asks for them gets somebody who sees nothing.
func (n *nobody) reads(ctx context.Context, service *chat.Service) context.Context {
	made := &scope{
		actor: func() chat.Actor {
			n.wasAsked.Store(true)
			return chat.Actor{}
		},
	}
	made.loaders = sync.OnceValue(func() *loaders { return newLoaders(ctx, service, made.actor()) })
	ctx = context.WithValue(ctx, sessionKey{}, (*session)(nil))
	ctx = context.WithValue(ctx, nobodyKey{}, n)
	return context.WithValue(ctx, scopeKey{}, made)
}

func nobodyIn(ctx context.Context) *nobody {
	n, _ := ctx.Value(nobodyKey{}).(*nobody)
	return n
}

// isViewer tells whether a person is the one who reads.
func isViewer(ctx context.Context, id chat.UserID) bool {
	if n := nobodyIn(ctx); n != nil && n.stranger == id {
		return false
	}
	return id == actor(ctx).User.ID
}

// sharedOperationOf tells what an operation has in common with those of others.
func sharedOperationOf(operation *graphql.OperationContext) sharedOperation {
	used := map[string]any{}
	tell := func(name string) {
		if value, given := operation.Variables[name]; given { // null is not the same as nothing
			used[name] = value
		}
	}
	var root func(selected ast.SelectionSet)
	root = func(selected ast.SelectionSet) {
		for _, selection := range selected {
			switch selection := selection.(type) {
			case *ast.Field: // whose arguments say where the stream begins, and of which conversation it is
				eachVariable(selection.Directives, nil, selection.SelectionSet, tell)
			case *ast.InlineFragment:
				eachVariable(selection.Directives, nil, nil, tell)
				root(selection.SelectionSet)
			case *ast.FragmentSpread:
				eachVariable(selection.Directives, nil, nil, tell)
				root(selection.Definition.SelectionSet)
			}
		}
	}
	root(operation.Operation.SelectionSet)
	variables, err := json.Marshal(used)
	if err != nil {
		panic(err) // they came as JSON
	}
	return sharedOperation{weak.Make(operation.Operation), sha256.Sum256(variables)}
}

// eachVariable tells of all variables in a part of a document.
func eachVariable(directives ast.DirectiveList, arguments ast.ArgumentList, selected ast.SelectionSet, tell func(string)) {
	var of func(value *ast.Value)
	of = func(value *ast.Value) {
		if value.Kind == ast.Variable {
			tell(value.Raw)
		}
		for _, child := range value.Children {
			of(child.Value)
		}
	}
	for _, directive := range directives {
		for _, argument := range directive.Arguments {
			of(argument.Value)
		}
	}
	for _, argument := range arguments {
		of(argument.Value)
	}
	for _, selection := range selected {
		switch selection := selection.(type) {
		case *ast.Field:
			eachVariable(selection.Directives, selection.Arguments, selection.SelectionSet, tell)
		case *ast.InlineFragment:
			eachVariable(selection.Directives, nil, selection.SelectionSet, tell)
		case *ast.FragmentSpread:
			eachVariable(selection.Directives, nil, selection.Definition.SelectionSet, tell)
		}
	}
}
