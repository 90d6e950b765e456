package graph

import (
	"net/http"
	"strconv"
	"testing"
)

// What is said of statuses and types: https://graphql.github.io/graphql-over-http/draft/#sec-Media-Types
func TestAnAnswerHasATypeThatIsAccepted(t *testing.T) {
	t.Parallel()
	const (
		good    = "{name}"
		invalid = "{nothing}"
	)
	for accept, want := range map[string]struct {
		kind    string
		invalid int
	}{
		"":                                  {"application/json", 422},
		"*/*":                               {"application/json", 422},
		"application/*;q=0.5":               {"application/json", 422},
		"application/json":                  {"application/json", 422},
		"application/json; charset=utf-8":   {"application/json", 422},
		"application/graphql-response+json": {"application/graphql-response+json", 400},
		"application/graphql-response+json, application/json;q=0.9": {"application/graphql-response+json", 400},
		"application/json;q=0.9, application/graphql-response+json": {"application/json", 422},
		"text/html, application/json":                               {"application/json", 422},
		"text/html":                                                 {"application/graphql-response+json", 400},
		"no type at all / really":                                   {"application/graphql-response+json", 400},
	} {
		t.Run(accept, func(t *testing.T) {
			t.Parallel()
			for query, status := range map[string]int{good: http.StatusOK, invalid: want.invalid} {
				request := postQuery(query, nil)
				request.Header.Set("Accept", accept)

				got := newStub(DefaultLimits).answers(t, request)

				if kind := got.header.Get("Content-Type"); got.status != status || kind != want.kind {
					t.Errorf("%s is answered by %d as %s, want %d as %s", query, got.status, kind, status, want.kind)
				}
				if length := got.header.Get("Content-Length"); length != strconv.Itoa(len(got.body)) {
					t.Errorf("%s has a length of %s, and %d bytes", query, length, len(got.body))
				}
			}
		})
	}
}
