package graph

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
)

// Codes of operations that are refused before anything is resolved.
const (
	codeTooLarge    = "OPERATION_TOO_LARGE"
	codeMethod      = "METHOD_NOT_ALLOWED"
	codeNeedsStream = "SUBSCRIPTION_NEEDS_STREAM"
)

// maxErrors are shown of one operation: a conflict of n fields makes n² of them.
const maxErrors = 20

func init() {
	// Without a kind, gqlgen answers 200, and over a socket skips the error presenter.
	for _, code := range []string{codeTooLarge, codeTooComplex, codeMethod, codeNeedsStream, codeNotRegistered} {
		errcode.RegisterErrorType(code, errcode.KindProtocol)
	}
}

// Limits bound one operation, in the same way over HTTP and WebSocket. They are
// judged by one walk over the document before it is validated, because
// validation compares every repetition of a field with every other.
type Limits struct {
	Bytes      int           // of the document
	Tokens     int           // of the document, comments too
	Fields     int           // fields and fragments, counted wherever a fragment is spread
	Depth      int           // levels of fields
	Repeats    int           // of one response key in one place, after merging
	RootFields int           // fields of the root, before merging
	Aliases    int           // counted wherever a fragment is spread
	Directives int           // of the document
	Variables  int           // bytes, about as JSON
	Timeout    time.Duration // of a query, a mutation, opening a subscription, and each of its events
}

// DefaultLimits leave the pages of our own client a factor of five or more.
var DefaultLimits = Limits{
	Bytes:      64 << 10,         // documents are cached whole; introspection has 2 kB
	Tokens:     5000,             // introspection has 300, a page some 500
	Fields:     2500,             // with Repeats it bounds validation: see TestTheWorstAllowedDocumentIsCheap
	Depth:      16,               // introspection, the deepest that tools send, has 15
	Repeats:    64,               // twenty kinds of event may each select the same fields
	RootFields: 20,               // a page asks three things; each may be a database query
	Aliases:    50,               // the way to ask one costly thing many times
	Directives: 100,              // @include on every field of a page
	Variables:  128 << 10,        // 500 rows of a roster; the longest message in four-byte letters, escaped, is half of it
	Timeout:    15 * time.Second, // nobody waits longer; a stuck database must not hold a request
}

// Use puts the limits before everything else of the server: call it before
// other extensions that run operations, so that what they do is within the time limit too.
func (l Limits) Use(exec interface {
	SetParserTokenLimit(limit int)
	Use(extension graphql.HandlerExtension)
},
) {
	exec.SetParserTokenLimit(l.Tokens)
	exec.Use(timeLimit(l.Timeout))
	exec.Use(newGuard(l, 1000))
}

type guard struct {
	Limits
	verdicts *lru.Cache[[sha256.Size]byte, *gqlerror.Error] // by the hash of the document; nil is a good one
}

func newGuard(l Limits, kept int) *guard {
	verdicts, err := lru.New[[sha256.Size]byte, *gqlerror.Error](kept)
	if err != nil {
		panic(err) // it is a positive number
	}
	return &guard{Limits: l, verdicts: verdicts}
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
	graphql.OperationContextMutator
	graphql.ResponseInterceptor
} = (*guard)(nil)

func (*guard) ExtensionName() string                   { return "Limits" }
func (*guard) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters refuses what is too large, before it is validated.
func (g *guard) MutateOperationParameters(_ context.Context, request *graphql.RawParams) *gqlerror.Error {
	if len(request.Query) > g.Bytes {
		return tooLarge("bytes", g.Bytes)
	}
	if size(request.Variables, g.Variables) > g.Variables {
		return tooLarge("bytes of variables", g.Variables)
	}
	hash := sha256.Sum256([]byte(request.Query))
	verdict, known := g.verdicts.Get(hash)
	if !known {
		verdict = g.judge(request.Query)
		g.verdicts.Add(hash, verdict)
	}
	if verdict == nil {
		return nil
	}
	answer := *verdict // who gets it may write to it
	answer.Extensions = maps.Clone(verdict.Extensions)
	return &answer
}

// MutateOperationContext refuses kinds of operation that the transport cannot carry.
func (g *guard) MutateOperationContext(ctx context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	plain, _ := ctx.Value(plainRequestKey{}).(*plainRequest)
	switch operation.Operation.Operation {
	case ast.Subscription:
		if carrierOf(ctx) == nil { // a plain request would hang until the first event
			return refusal(codeNeedsStream, "A subscription needs a WebSocket with the subprotocol graphql-transport-ws, or a POST request that accepts text/event-stream.")
		}
	case ast.Mutation:
		if plain != nil && plain.method == http.MethodGet {
			plain.status = http.StatusMethodNotAllowed
			plain.header.Set("Allow", http.MethodPost)
			return refusal(codeMethod, "A mutation must be sent by POST: GET may only read.")
		}
	}
	return nil
}

// InterceptResponse bounds the list of errors.
func (g *guard) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	response := next(ctx)
	if response != nil && len(response.Errors) > maxErrors {
		response.Errors = response.Errors[:maxErrors:maxErrors]
	}
	return response
}

// judge parses a document and walks it, in time linear to its tokens and to
// what its fragments unfold to, which is bounded before it is unfolded.
func (g *guard) judge(document string) *gqlerror.Error {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: document}, g.Tokens)
	if err != nil {
		var parsing *gqlerror.Error
		if !errors.As(err, &parsing) || len(parsing.Locations) == 0 { // a syntax error has a place, the token limit has none
			return tooLarge("tokens", g.Tokens)
		}
		errcode.Set(parsing, errcode.ParseFailed)
		return maskInput(parsing)
	}
	w := &walk{limits: g.Limits, fragments: make(map[string]*fragment, len(doc.Fragments))}
	for _, definition := range doc.Fragments {
		if w.fragments[definition.Name] != nil {
			return invalid(definition.Position, "Two fragments have one name.")
		}
		w.fragments[definition.Name] = &fragment{FragmentDefinition: definition}
	}
	var total extent
	for _, operation := range doc.Operations {
		w.count(operation.Directives)
		for _, variable := range operation.VariableDefinitions {
			w.count(variable.Directives)
		}
		total = total.and(w.measure(operation.SelectionSet))
	}
	for _, definition := range doc.Fragments {
		if w.fragments[definition.Name].state == unseen { // what nobody bounded must not be validated
			return invalid(definition.Position, "A fragment is not used.")
		}
	}
	switch {
	case w.refused != nil:
		return w.refused
	case total.fields > g.Fields:
		return tooLarge("fields, counted wherever a fragment is spread", g.Fields)
	case total.depth > g.Depth:
		return tooLarge("levels of fields", g.Depth)
	case total.aliases > g.Aliases:
		return tooLarge("aliases", g.Aliases)
	case w.directives > g.Directives:
		return tooLarge("directives", g.Directives)
	}
	for _, operation := range doc.Operations {
		if operation.Operation == ast.Subscription {
			w.needs(operation.SelectionSet)
		}
		if w.merge([]ast.SelectionSet{operation.SelectionSet}) > g.RootFields {
			return tooLarge("fields of the root", g.RootFields)
		}
	}
	return w.refused
}

// A walk measures each fragment once, then unfolds what proved small enough.
type walk struct {
	limits     Limits
	fragments  map[string]*fragment
	directives int
	refused    *gqlerror.Error
}

type fragment struct {
	*ast.FragmentDefinition
	state  int
	extent extent
}

const (
	unseen = iota
	open   // being measured: to meet it now is a cycle
	measured
)

// An extent stops growing far above every limit, so that it cannot overflow.
type extent struct{ depth, fields, aliases int }

func (e extent) and(other extent) extent {
	const enough = 1 << 30
	return extent{
		depth:   max(e.depth, other.depth),
		fields:  min(e.fields+other.fields, enough),
		aliases: min(e.aliases+other.aliases, enough),
	}
}

func (w *walk) measure(set ast.SelectionSet) (total extent) {
	for _, selection := range set {
		total.fields++ // spreads as well: they cost, even of nothing
		switch selection := selection.(type) {
		case *ast.Field:
			w.count(selection.Directives)
			inner := w.measure(selection.SelectionSet)
			inner.depth++
			if selection.Alias != selection.Name {
				inner.aliases++
			}
			total = total.and(inner)
		case *ast.InlineFragment:
			w.count(selection.Directives)
			total = total.and(w.measure(selection.SelectionSet))
		case *ast.FragmentSpread:
			w.count(selection.Directives)
			spread := w.fragments[selection.Name]
			if spread == nil {
				continue // validation says so
			}
			switch spread.state {
			case open:
				w.refused = invalid(selection.Position, "A fragment contains itself.")
			case unseen:
				spread.state = open
				w.count(spread.Directives)
				spread.extent = w.measure(spread.SelectionSet)
				spread.state = measured
			}
			total = total.and(spread.extent)
		}
	}
	return total
}

func (w *walk) count(directives ast.DirectiveList) {
	w.directives += len(directives)
	if deferred := directives.ForName("defer"); deferred != nil {
		// Over POST the deferred part would never come.
		w.refused = invalid(deferred.Position, "@defer is not offered here: leave it out.")
	}
}

// needs refuses a subscription whose stream may be left out: it must have one.
func (w *walk) needs(set ast.SelectionSet) {
	for _, selection := range set {
		var directives ast.DirectiveList
		switch selection := selection.(type) {
		case *ast.Field:
			directives = selection.Directives
		case *ast.InlineFragment:
			directives = selection.Directives
			w.needs(selection.SelectionSet)
		case *ast.FragmentSpread:
			directives = selection.Directives
			if spread := w.fragments[selection.Name]; spread != nil {
				w.needs(spread.SelectionSet)
			}
		}
		for _, name := range []string{"skip", "include"} {
			if optional := directives.ForName(name); optional != nil {
				w.refused = invalid(optional.Position, "The stream of a subscription can't be left out: take @skip and @include away from it.")
			}
		}
	}
}

// typenameRepeats is how many times more often than other fields __typename may stand in one place: Apollo Client
// writes it into every fragment, and to compare it is cheap.
const typenameRepeats = 4

// merge counts how often each key stands in selection sets that will be merged,
// goes on into what those keys select, and returns the number of fields.
func (w *walk) merge(sets []ast.SelectionSet) (fields int) {
	inner := make(map[string][]ast.SelectionSet)
	typenames := 0
	var unfold func(set ast.SelectionSet)
	unfold = func(set ast.SelectionSet) {
		for _, selection := range set {
			switch selection := selection.(type) {
			case *ast.Field:
				fields++
				if selection.Name == "__typename" && selection.Alias == selection.Name && len(selection.SelectionSet) == 0 {
					typenames++
					continue
				}
				inner[selection.Alias] = append(inner[selection.Alias], selection.SelectionSet)
			case *ast.InlineFragment:
				unfold(selection.SelectionSet)
			case *ast.FragmentSpread:
				if spread := w.fragments[selection.Name]; spread != nil {
					unfold(spread.SelectionSet)
				}
			}
		}
	}
	for _, set := range sets {
		unfold(set)
	}
	if most := typenameRepeats * w.limits.Repeats; typenames > most {
		w.refused = tooLarge("repetitions of __typename", most)
		return fields
	}
	for _, repeated := range inner {
		if len(repeated) > w.limits.Repeats {
			w.refused = tooLarge("repetitions of one field", w.limits.Repeats)
			return fields
		}
		w.merge(repeated)
	}
	return fields
}

// size is about what a value has as JSON; it stops counting above most.
func size(value any, most int) int {
	switch value := value.(type) {
	case string:
		return len(value) + 2
	case json.Number:
		return len(value)
	case []any:
		total := 2
		for _, element := range value {
			if total += size(element, most) + 1; total > most {
				break
			}
		}
		return total
	case map[string]any:
		total := 0 // no variables, no size
		for name, element := range value {
			if total += len(name) + 4 + size(element, most); total > most {
				break
			}
		}
		return total
	}
	return 4
}

func tooLarge(what string, limit int) *gqlerror.Error {
	return refusal(codeTooLarge, fmt.Sprintf("The operation is too large: it may have at most %d %s.", limit, what))
}

func invalid(at *ast.Position, sentence string) *gqlerror.Error {
	err := refusal(errcode.ValidationFailed, sentence)
	if at != nil {
		err.Locations = []gqlerror.Location{{Line: at.Line, Column: at.Column}}
	}
	return err
}
