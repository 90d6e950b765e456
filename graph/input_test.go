package graph

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// What a client sends may be about a patient, however broken it is.
func TestNoAnswerRepeatsWhatTheClientSent(t *testing.T) {
	t.Parallel()
	const secret = "schizophrenia"
	query := func(query string) *http.Request { return postQuery(query, nil) }
	note := func(variables map[string]any) *http.Request {
		return postQuery("query($note:Note,$mood:Mood,$page:Int){node{note(note:$note,mood:$mood,page:$page)}}", variables)
	}
	for name, request := range map[string]*http.Request{
		"cut off":                 post(`{"query":"{name}","variables":{"note":"` + secret),
		"not JSON":                post(secret),
		"a JSON string":           post(`"` + secret + `"`),
		"a list":                  post(`[{"query":"` + secret + `"}]`),
		"query is an object":      post(`{"query":{"` + secret + `":1}}`),
		"query is missing":        post(`{"` + secret + `":"{name}"}`),
		"variables are a string":  post(`{"query":"{name}","variables":"` + secret + `"}`),
		"operation is an object":  post(`{"query":"{name}","operationName":{"` + secret + `":1}}`),
		"something follows":       post(`{"query":"{name}"} ` + secret),
		"a form":                  form("query=" + secret),
		"a GET with bad escapes":  httptest.NewRequest(http.MethodGet, "/graphql?query="+secret+"%25zz&a=;"+secret, nil),
		"a GET with no variables": httptest.NewRequest(http.MethodGet, "/graphql?query={name}&variables="+secret, nil),
		"another method":          httptest.NewRequest(http.MethodPut, "/graphql", strings.NewReader(secret)),

		"a string out of place":   query(`{"` + secret + `"}`),
		"a block out of place":    query(`{"""` + secret + `"""}`),
		"a number out of place":   query(`{name(first:1) 17021961}`),
		"an open string":          query(`{name(first:"` + secret + `)}`),
		"a bad escape":            query(`{name(first:"\u` + secret + `")}`),
		"a bad escape of a rune":  query(`{name(first:"\x` + secret + `")}`),
		"a name for a keyword":    query(`fragment F ` + secret + ` Node{id}`),
		"an unknown definition":   query(secret),
		"a strange rune":          query(`{name(first:1) é` + secret + `}`),
		"a string for an Int":     query(`{node{note(page:"` + secret + `")}}`),
		"a string for an enum":    query(`{node{note(mood:"` + secret + `")}}`),
		"a name for an enum":      query(`{node{note(mood:` + secret + `)}}`),
		"a tricky string":         query(`{node{note(note:"is not a valid ` + secret + `")}}`),
		"another tricky string":   query(`{node{note(page:"does not exist in \"` + secret + `\" enum")}}`),
		"a string for an input":   query(`{node{note(note:"` + secret + `")}}`),
		"a list for a String":     query(`{node{note(text:["` + secret + `"])}}`),
		"an object for a String":  query(`{node{note(text:{a:"` + secret + `"})}}`),
		"values in a bad input":   query(`{node{note(note:{text:["` + secret + `"]})}}`),
		"values that conflict":    query(`{node{note(text:"` + secret + `") note(text:"x")}}`),
		"a default that is wrong": query(`query($p:Int="` + secret + `"){node{note(page:$p)}}`),
		"no such operation":       post(`{"query":"{name}","operationName":"` + secret + `"}`),

		"an enum variable":          note(map[string]any{"mood": secret}),
		"a tricky enum variable":    note(map[string]any{"mood": secret + " is not a valid Mood"}),
		"an Int variable":           note(map[string]any{"page": secret}),
		"a huge Int variable":       note(map[string]any{"page": 1e300}),
		"an input variable":         note(map[string]any{"note": secret}),
		"an unknown input field":    note(map[string]any{"note": map[string]any{"text": "x", secret: 1}}),
		"an enum in an input":       note(map[string]any{"note": map[string]any{"text": "x", "mood": secret}}),
		"a text of another type":    note(map[string]any{"note": map[string]any{"text": []any{secret}}}),
		"an unknown field, aliased": query(strings.Repeat("{", 1) + "node{" + strings.Repeat("x", 500) + secret + "}}"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := newStub(DefaultLimits).answers(t, request)

			if strings.Contains(got.body, secret) || strings.Contains(got.body, "17021961") {
				t.Errorf("the answer repeats it: %s", got.body)
			}
			if len(got.codes) == 0 || slices.Contains(got.codes, "") {
				t.Errorf("every refusal has a code: %s", got.body)
			}
			if got.status < 400 {
				t.Errorf("the status is %d", got.status)
			}
		})
	}
}

func form(body string) *http.Request {
	r := post(body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func TestMaskedErrorsStillHelp(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		`{name(first:1) "x"}`:               `Syntax error: Expected Name, found String.`,
		`fragment F x Node{id}`:             `Syntax error: Expected "on", found Name.`,
		`{}`:                                `Syntax error: expected at least one definition, found }.`,
		`x`:                                 `Syntax error: Unexpected Name.`,
		`{name`:                             `Syntax error: Expected Name, found <EOF>.`,
		`{name(first:"x)}`:                  `Syntax error`,
		`{nam}`:                             `Cannot query field "nam" on type "Query"`,
		`{node{note(page:"x")}}`:            `Int cannot represent non-integer value.`,
		`{node{note(mood:"x")}}`:            `Enum "Mood" cannot represent non-enum value.`,
		`{node{note(mood:X)}}`:              `A value is not one of those that its type has.`,
		`{node{note(note:"x")}}`:            `Expected value of type "Note".`,
		`{node{note(note:{})}}`:             `Field "Note.text" of required type "String!" was not provided.`,
		`{node{note(note:{text:"x",a:1})}}`: `Field "a" is not defined by type "Note".`,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()

			got := newStub(DefaultLimits).answers(t, postQuery(query, nil))

			if !strings.HasPrefix(got.errors[0].Message, want) || len(got.errors[0].Locations) == 0 {
				t.Errorf("want %q and a place: %s", want, got.body)
			}
		})
	}
}

func TestMaskingTwiceIsMaskingOnce(t *testing.T) {
	t.Parallel()
	for _, err := range []gqlerror.Error{
		{Message: `Unexpected Name "x"`, Extensions: map[string]any{"code": "GRAPHQL_PARSE_FAILED"}},
		{Message: `Int cannot represent non-integer value: "x"`, Rule: "ValuesOfCorrectType"},
		{Message: `Value "X" does not exist in "Mood" enum.`, Rule: "ValuesOfCorrectTypeWithoutSuggestions"},
		{Message: `unknown field`, Path: ast.Path{ast.PathName("variable"), ast.PathName("note"), ast.PathName("x")}},
		{Message: `x is not a valid Mood`, Path: ast.Path{ast.PathName("variable"), ast.PathName("mood")}},
		{Message: `cannot use value 7 as Int`, Path: ast.Path{ast.PathName("variable"), ast.PathName("page")}},
		{Message: `operation x not found`},
	} {
		if err.Extensions == nil {
			err.Extensions = map[string]any{"code": "GRAPHQL_VALIDATION_FAILED"}
		}
		once := maskInput(&err)
		twice := maskInput(once)
		if once.Message == err.Message || once.Message != twice.Message || once.Path.String() != twice.Path.String() {
			t.Errorf("%q becomes %q, then %q", &err, once, twice)
		}
	}
}

func TestMaskingLeavesOtherErrorsAlone(t *testing.T) {
	t.Parallel()
	mine := refusal("NOT_FOUND", "operation of the left knee not found")
	if got := maskInput(mine); got != mine {
		t.Errorf("got %v", got)
	}
	bare := &gqlerror.Error{Message: "Unexpected"}
	if got := maskInput(bare); got != bare {
		t.Errorf("got %v", got)
	}
}

func TestARequestIsRefusedByItsForm(t *testing.T) {
	t.Parallel()
	long := `{"query":"` + strings.Repeat(" ", bodyLimit) + `{name}"}`
	utf8 := post(`{"query":"{name}"}`)
	utf8.Header.Set("Content-Type", "application/json; charset=utf-8")
	for name, test := range map[string]struct {
		request *http.Request
		status  int
		code    string
	}{
		"good":                  {post(`{"query":"{name}","variables":null,"extensions":{}}`), 200, ""},
		"good, with charset":    {utf8, 200, ""},
		"good, by GET":          {getQuery("{name}"), 200, ""},
		"too long":              {post(long), 413, "BODY_TOO_LARGE"},
		"too long, by GET":      {getQuery(long), 414, "BODY_TOO_LARGE"},
		"a form":                {form("query={name}"), 415, "UNSUPPORTED_MEDIA_TYPE"},
		"no query":              {post(`{}`), 400, "BAD_REQUEST"},
		"no query, by GET":      {httptest.NewRequest(http.MethodGet, "/graphql", nil), 400, "BAD_REQUEST"},
		"null":                  {post(`null`), 400, "BAD_REQUEST"},
		"nothing":               {post(``), 400, "BAD_REQUEST"},
		"several at once":       {post(` [{"query":"{name}"}]`), 400, "BAD_REQUEST"},
		"PUT":                   {httptest.NewRequest(http.MethodPut, "/graphql", nil), 405, "METHOD_NOT_ALLOWED"},
		"a mutation":            {postQuery("mutation {rename}", nil), 200, ""},
		"a mutation by GET":     {getQuery("mutation {rename}"), 405, "METHOD_NOT_ALLOWED"},
		"a subscription":        {postQuery("subscription {ticks{id}}", nil), 422, "SUBSCRIPTION_NEEDS_STREAM"},
		"a subscription by GET": {getQuery("subscription {ticks{id}}"), 422, "SUBSCRIPTION_NEEDS_STREAM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub(DefaultLimits)

			got := s.answers(t, test.request)

			if got.status != test.status || strings.Join(got.codes, " ") != test.code {
				t.Errorf("got %d %v, want %d %s: %s", got.status, got.codes, test.status, test.code, got.body)
			}
			if ran, want := s.executed.Load() != 0, test.code == ""; ran != want {
				t.Errorf("it was executed: %t, want %t", ran, want)
			}
			if test.status == 405 && got.header.Get("Allow") == "" {
				t.Error("405 must say what is allowed")
			}
		})
	}
}

func TestAMutationByGETIsRefusedWithoutTheMiddlewareToo(t *testing.T) {
	t.Parallel()
	s, recorder := newStub(DefaultLimits), httptest.NewRecorder()
	s.AddTransport(transport.GET{})

	s.ServeHTTP(recorder, getQuery("mutation {rename}"))

	if recorder.Code != http.StatusNotAcceptable || s.executed.Load() != 0 {
		t.Errorf("got %d: %s", recorder.Code, recorder.Body)
	}
}
