package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

var stubSchema = gqlparser.MustLoadSchema(&ast.Source{Input: `
	enum Mood { CALM LOUD }
	input Note { text: String!, mood: Mood, page: Int }
	type Node { id: ID, name(first: Int): String, node: Node, note(note: Note, mood: Mood, page: Int, text: String): String }
	type Query { node: Node, name: String }
	type Mutation { rename(note: Note): String }
	type Subscription { ticks: Node }
`})

// A stub is a server over a few fields, whose resolvers a test may choose.
type stub struct {
	*handler.Server
	schema   *graphql.ExecutableSchemaMock
	executed atomic.Int64

	// name resolves every string, open the stream of ticks.
	name func(ctx context.Context) (string, error)
	open func(ctx context.Context) (<-chan string, error)
	// polled, if it is there, has the ticks asked for as those of our own streams are.
	polled func(source *source, ticks chan<- string)
}

func newStub(limits Limits) *stub {
	s := &stub{
		name: func(context.Context) (string, error) { return "Ann", nil },
		open: func(context.Context) (<-chan string, error) { return make(chan string), nil },
	}
	s.schema = &graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return stubSchema },
		ComplexityFunc: func(context.Context, string, string, int, map[string]any) (int, bool) {
			return 0, false
		},
		ExecFunc: s.exec,
	}
	s.Server = handler.New(s.schema)
	limits.Use(s.Server)
	s.SetErrorPresenter(func(ctx context.Context, err error) *gqlerror.Error {
		return maskInput(graphql.DefaultErrorPresenter(ctx, err))
	})
	return s
}

// exec does what generated code does, with the same runtime functions.
func (s *stub) exec(ctx context.Context) graphql.ResponseHandler {
	s.executed.Add(1)
	operation := graphql.GetOperationContext(ctx)
	top := graphql.CollectFields(operation, operation.Operation.SelectionSet, nil)[0]
	field := func(ctx context.Context, field graphql.CollectedField) (*graphql.FieldContext, error) {
		return &graphql.FieldContext{Field: field, IsResolver: true}, nil
	}
	name := func(ctx context.Context, _ ast.SelectionSet, _ string) graphql.Marshaler {
		return graphql.ResolveField(ctx, operation, top, field,
			func(ctx context.Context) (any, error) { return s.name(ctx) }, nil,
			func(_ context.Context, _ ast.SelectionSet, v string) graphql.Marshaler {
				return graphql.MarshalString(v)
			}, true, false)
	}
	if operation.Operation.Operation == ast.Subscription {
		if s.polled != nil {
			ticks := make(chan string, 1)
			s.polled(sourceOf(ctx), ticks)
			s.open = func(context.Context) (<-chan string, error) { return ticks, nil }
		}
		next := graphql.ResolveFieldStream(ctx, operation, top, field,
			func(ctx context.Context) (any, error) { return s.open(ctx) }, nil, name, true, false)
		if next == nil {
			return nil
		}
		return func(ctx context.Context) *graphql.Response {
			return written(next(ctx))
		}
	}
	first := true
	return func(ctx context.Context) *graphql.Response {
		if !first {
			return nil
		}
		first = false
		return written(name(ctx, nil, ""))
	}
}

func written(data graphql.Marshaler) *graphql.Response {
	if data == nil {
		return nil
	}
	var buffer bytes.Buffer
	data.MarshalGQL(&buffer)
	return &graphql.Response{Data: buffer.Bytes()}
}

// An answer is what a client sees of a request over HTTP.
type answer struct {
	status int
	header http.Header
	body   string
	errors gqlerror.List
	codes  []string // one for each error
}

func (s *stub) answers(t *testing.T, r *http.Request) answer {
	t.Helper()
	s.AddTransport(transport.GET{})
	s.AddTransport(posts{})
	recorder := httptest.NewRecorder()

	jsonOnly(s.Server).ServeHTTP(recorder, r)

	body, err := io.ReadAll(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{status: recorder.Code, header: recorder.Header(), body: string(body)}
	var response struct{ Errors gqlerror.List }
	if err := json.Unmarshal(body, &response); err != nil {
		t.Fatalf("the answer is not JSON: %s", body)
	}
	got.errors = response.Errors
	for _, err := range response.Errors {
		code, _ := err.Extensions["code"].(string)
		got.codes = append(got.codes, code)
	}
	return got
}

func post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func postQuery(query string, variables map[string]any) *http.Request {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err)
	}
	return post(string(body))
}

func getQuery(query string) *http.Request {
	return httptest.NewRequest(http.MethodGet, "/graphql?query="+url.QueryEscape(query), nil)
}

// repeat gives piece n times, with %d replaced by the number of each.
func repeat(n int, piece string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(piece, "%d", fmt.Sprint(i)))
	}
	return b.String()
}

func nested(depth int) string {
	return "{" + strings.Repeat("node{", depth-1) + "id" + strings.Repeat("}", depth-1) + "}"
}

// These cost gqlparser seconds to minutes, or the resolvers a fortune. None may
// reach validation, which is the only thing that asks for the schema.
func TestAttacksAreRefusedBeforeValidation(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"16,000 times one field":    "{" + strings.Repeat("name ", 16000) + "}",
		"1,000 times one field":     "{node{" + strings.Repeat("name ", 1000) + "}}",
		"repeated through aliases":  "{" + repeat(100, "a:node{id}") + "}",
		"repeated through parents":  "{" + strings.Repeat("node{"+strings.Repeat("node{id}", 15)+"}", 15) + "}",
		"repeated in inline pieces": "{" + strings.Repeat("...{...{name}}", 200) + "}",
		"repeated through fragments": "{" + repeat(100, "...F%d ") + "}" +
			repeat(100, "fragment F%d on Query{name}"),
		"alias bomb":               "{" + repeat(1000, "a%d:name ") + "}",
		"alias bomb, spread":       "{" + repeat(10, "a%d:node{...F}") + "} fragment F on Node {" + repeat(10, "b%d:name ") + "}",
		"fragment bomb":            "{node{...F0}}" + strings.Join(doubling(60), ""),
		"fragment bomb of nothing": "{node{...F0}}" + strings.Join(chained(60), ""),
		"deep nesting":             nested(500),
		"deep nesting in pieces":   "{...F0}" + strings.Join(deep(40), ""),
		"token flood":              "{name(first:[" + strings.Repeat("1 ", 10000) + "])}",
		"comment flood":            strings.Repeat("#\n", 10000) + "{name}",
		"bracket flood":            "{name(first:" + strings.Repeat("[", 20000) + ")}",
		"padding":                  "{name}" + strings.Repeat(" ", 70000),
		"directive flood":          "{name " + strings.Repeat("@skip(if:false) ", 200) + "}",
		"directives, spread wide":  "{" + repeat(15, "...@skip(if:false){") + "name" + strings.Repeat("}", 15) + "node{" + strings.Repeat("id @skip(if:false) ", 60) + "...F}} fragment F on Node {" + strings.Repeat("name @skip(if:false) ", 60) + "}",
		"many roots":               "{" + strings.Repeat("name ", 21) + "}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub(DefaultLimits)
			started := time.Now()

			got := s.answers(t, postQuery(query, nil))

			if !slices.Equal(got.codes, []string{"OPERATION_TOO_LARGE"}) {
				t.Errorf("codes %v, want OPERATION_TOO_LARGE: %.300s", got.codes, got.body)
			}
			if asked := len(s.schema.SchemaCalls()); asked != 0 {
				t.Errorf("validation began: the schema was asked for %d times", asked)
			}
			if took := time.Since(started); took > 5*time.Second { // it takes a millisecond or two
				t.Errorf("refusing it took %v", took)
			}
			if len(got.body) > 300 {
				t.Errorf("the answer has %d bytes: does it repeat the document?", len(got.body))
			}
		})
	}
}

// doubling are fragments that unfold to two to the power of n fields.
func doubling(n int) []string {
	pieces := []string{fmt.Sprintf("fragment F%d on Node{id}", n)}
	for i := range n {
		pieces = append(pieces, fmt.Sprintf("fragment F%d on Node{node{...F%d} node{...F%d}}", i, i+1, i+1))
	}
	return pieces
}

// chained are fragments of which each spreads the next one twice.
func chained(n int) []string {
	pieces := make([]string, n)
	for i := range pieces {
		pieces[i] = fmt.Sprintf("fragment F%d on Node{...F%d ...F%d}", i, i+1, i+1)
	}
	return pieces // the last one spreads what does not exist
}

func deep(n int) []string {
	pieces := make([]string, n)
	for i := range pieces {
		pieces[i] = fmt.Sprintf("fragment F%d on Node{node{...F%d}}", i, i+1)
	}
	return pieces
}

func TestEachLimitIsExact(t *testing.T) {
	t.Parallel()
	few := Limits{Bytes: 2000, Tokens: 400, Fields: 60, Depth: 7, Repeats: 9, RootFields: 10, Aliases: 5, Directives: 6, Variables: 60, Timeout: time.Minute}
	for name, test := range map[string]struct {
		most  int
		says  string
		query func(n int) string
	}{
		"bytes":  {2000, "2000 bytes", func(n int) string { return "{name}" + strings.Repeat(" ", n-6) }},
		"tokens": {400, "400 tokens", func(n int) string { return strings.Repeat("#\n", n-3) + "{name}" }},
		"fields": {60, "60 fields", func(n int) string {
			return "{node{" + strings.Repeat("...{", n-2) + "id" + strings.Repeat("}", n-2) + "}}"
		}},
		"depth":       {7, "7 levels of fields", nested},
		"repeats":     {9, "9 repetitions of one field", func(n int) string { return "{node{" + strings.Repeat("id ", n) + "}}" }},
		"typenames":   {36, "36 repetitions of __typename", func(n int) string { return "{node{" + strings.Repeat("__typename ", n) + "}}" }},
		"root fields": {10, "10 fields of the root", func(n int) string { return "{" + strings.Repeat("name ", 5) + strings.Repeat("node{id}", n-5) + "}" }},
		"aliases":     {5, "5 aliases", func(n int) string { return "{" + repeat(n, "a%d:name ") + "}" }},
		"directives":  {6, "6 directives", func(n int) string { return "{node{" + repeat(n, "...@skip(if:false){id}") + "}}" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub(few)

			within, beyond := s.answers(t, postQuery(test.query(test.most), nil)), s.answers(t, postQuery(test.query(test.most+1), nil))

			if within.codes != nil {
				t.Errorf("%d were refused: %s", test.most, within.body)
			}
			if !slices.Equal(beyond.codes, []string{"OPERATION_TOO_LARGE"}) {
				t.Errorf("%d were not refused: %s", test.most+1, beyond.body)
			}
			if !strings.Contains(beyond.body, "at most "+test.says) {
				t.Errorf("the refusal does not name its limit, %q: %s", test.says, beyond.body)
			}
		})
	}
}

func TestVariablesAreBounded(t *testing.T) {
	t.Parallel()
	const query = "query($note:Note){node{note(note:$note)}}"
	for name, test := range map[string]struct {
		variables map[string]any
		refused   bool
	}{
		"few":       {map[string]any{"note": map[string]any{"text": "hello"}}, false},
		"long text": {map[string]any{"note": map[string]any{"text": strings.Repeat("x", 140_000)}}, true},
		"long list": {map[string]any{"note": slices.Repeat([]any{1}, 80_000)}, true},
		"long name": {map[string]any{strings.Repeat("x", 140_000): 1}, true},
		"deep":      {map[string]any{"note": json.RawMessage(strings.Repeat(`[`, 9000) + strings.Repeat(`]`, 9000))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := newStub(DefaultLimits).answers(t, postQuery(query, test.variables))

			if refused := slices.Contains(got.codes, "OPERATION_TOO_LARGE"); refused != test.refused {
				t.Errorf("refused is %t, want %t: %.300s", refused, test.refused, got.body)
			}
		})
	}
}

// With limits on fields and repetitions, what gqlparser compares is bounded by
// their product. The dearest documents that we found take it 30 ms.
func TestTheWorstAllowedDocumentIsCheap(t *testing.T) {
	t.Parallel()
	chain := strings.Repeat("node{", 13) + "id name" + strings.Repeat("}", 13)
	for name, query := range map[string]string{
		"chains side by side": "{node{" + strings.Repeat(chain, 60) + "}}",
		"chains in fragments": "{node{" + repeat(60, "...F%d ") + "}}" + repeat(60, "fragment F%d on Node{"+chain+"}"),
		"names of types":      "{node{" + strings.Repeat("id node{"+strings.Repeat("__typename ", 32)+"} ", 8) + strings.Repeat("... {__typename} ", 200) + "}}",
		"few keys, many":      "{node{" + strings.Repeat("id name note node{id name note node{id name note}}", 60) + "}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub(DefaultLimits)
			started := time.Now()

			got := s.answers(t, postQuery(query, nil))

			if got.codes != nil {
				t.Errorf("it is not allowed, so it shows nothing: %.300s", got.body)
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A __typename can't select anything, but validation finds that out last.
func TestATypenameThatSelectsIsCountedLikeOtherFields(t *testing.T) {
	t.Parallel()

	got := newStub(DefaultLimits).answers(t, postQuery("{node{__typename{"+strings.Repeat("id ", DefaultLimits.Repeats+1)+"}}}", nil))

	if !slices.Equal(got.codes, []string{"OPERATION_TOO_LARGE"}) {
		t.Errorf("it was not refused before validation: %.300s", got.body)
	}
}

func TestIntrospectionPasses(t *testing.T) {
	t.Parallel()
	s := newStub(DefaultLimits)

	got := s.answers(t, postQuery(introspectionQuery, nil))

	if got.codes != nil || s.executed.Load() != 1 {
		t.Errorf("the query of graphql-js and GraphiQL was refused: %s", got.body)
	}
}

func TestBrokenFragmentsAreRefusedBeforeValidation(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"itself":          "{node{...F}} fragment F on Node{...F}",
		"a ring":          "{node{...F}} fragment F on Node{node{...G}} fragment G on Node{...H} fragment H on Node{id ...F}",
		"unused":          "{node{id}} fragment F on Node{id}",
		"an unused ring":  "{node{id}} fragment F on Node{...G} fragment G on Node{...F}",
		"one name, twice": "{node{...F}} fragment F on Node{id} fragment F on Node{name}",
		"deferred":        "{node{...F @defer}} fragment F on Node{id}",
		"deferred inline": "{node{... @defer {id}}}",
		"no stream":       "subscription {ticks @skip(if: true) {id}}",
		"no stream, far":  "subscription {...F} fragment F on Subscription{... {ticks @include(if: false) {id}}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub(DefaultLimits)

			got := s.answers(t, postQuery(query, nil))

			if !slices.Equal(got.codes, []string{errcode.ValidationFailed}) || len(s.schema.SchemaCalls()) != 0 {
				t.Errorf("want one refusal before validation: %s", got.body)
			}
		})
	}
}

func TestAVerdictIsKeptAndGivenOutAsACopy(t *testing.T) {
	t.Parallel()
	g := newGuard(DefaultLimits, 10)
	request := &graphql.RawParams{Query: nested(50)}

	first := g.MutateOperationParameters(t.Context(), request)
	first.Message, first.Extensions["code"] = "spoiled", "SPOILED"
	second := g.MutateOperationParameters(t.Context(), request)

	if kept := g.verdicts.Len(); kept != 1 {
		t.Errorf("%d verdicts are kept, want 1", kept)
	}
	if second.Message == "spoiled" || second.Extensions["code"] != "OPERATION_TOO_LARGE" {
		t.Errorf("who wrote to one answer wrote to the next: %v", second)
	}
}

func TestAFloodOfErrorsIsShort(t *testing.T) {
	t.Parallel()

	got := newStub(DefaultLimits).answers(t, postQuery("{node{"+repeat(400, "x%d ")+"}}", nil))

	if len(got.codes) != maxErrors {
		t.Errorf("%d errors were sent, want %d", len(got.codes), maxErrors)
	}
}

func FuzzTheJudgeNeverFalls(f *testing.F) {
	f.Add(introspectionQuery)
	f.Add(strings.Join(chained(5), "") + "{...F0}")
	f.Add(`query Q($a: [Int!]! = [1] @skip(if: true)) { a: node @include(if: $a) { ... on Node @skip(if: true) { ...F } } }`)
	g := &guard{Limits: DefaultLimits}
	f.Fuzz(func(t *testing.T, document string) {
		if refused := g.judge(document); refused != nil && len(refused.Message) > 400 {
			t.Errorf("the refusal has %d bytes", len(refused.Message))
		}
	})
}

// Of graphql-js 16.15 with the options that GraphiQL gives it.
const introspectionQuery = `
query IntrospectionQuery {
      __schema {
        description
        queryType { name kind }
        mutationType { name kind }
        subscriptionType { name kind }
        types {
          ...FullType
        }
        directives {
          name
          description
          isRepeatable
          locations
          args(includeDeprecated: true) {
            ...InputValue
          }
        }
      }
    }
    fragment FullType on __Type {
      kind
      name
      description
      specifiedByURL
      isOneOf
      fields(includeDeprecated: true) {
        name
        description
        args(includeDeprecated: true) {
          ...InputValue
        }
        type {
          ...TypeRef
        }
        isDeprecated
        deprecationReason
      }
      inputFields(includeDeprecated: true) {
        ...InputValue
      }
      interfaces {
        ...TypeRef
      }
      enumValues(includeDeprecated: true) {
        name
        description
        isDeprecated
        deprecationReason
      }
      possibleTypes {
        ...TypeRef
      }
    }
    fragment InputValue on __InputValue {
      name
      description
      type { ...TypeRef }
      defaultValue
      isDeprecated
      deprecationReason
    }
    fragment TypeRef on __Type {
      kind
      name
      ofType {
        name
        kind
        ofType {
          name
          kind
          ofType {
            name
            kind
            ofType {
              name
              kind
              ofType {
                name
                kind
                ofType {
                  name
                  kind
                  ofType {
                    name
                    kind
                    ofType {
                      name
                      kind
                      ofType {
                        name
                        kind
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
`
