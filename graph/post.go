package graph

import (
	"bytes"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// posts answers queries and mutations by POST, as https://graphql.github.io/graphql-over-http/draft/ says.
//
// gqlgen has one too. To write an answer it copies it twice and parses it once, which is a tenth of what a page of messages costs.
type posts struct{}

var _ graphql.Transport = posts{}

// The media types of answers. What goes wrong before an operation runs has status 400 in the first, and 422 in the second, which older clients know.
const (
	graphqlResponse = "application/graphql-response+json"
	plainJSON       = "application/json"
)

// Supports takes what jsonOnly has let through.
func (posts) Supports(r *http.Request) bool { return r.Method == http.MethodPost }

// Do answers an operation.
func (posts) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	params, err := readParams(r.Body)
	if err != nil { // it was checked before
		refuse(w, http.StatusBadRequest, refusal(codeBadRequest, "The request must be one JSON object."))
		return
	}
	params.Headers = r.Header
	accepted := acceptedType(r.Header.Get("Accept"))
	w.Header().Set("Content-Type", accepted)
	operation, errs := exec.CreateOperationContext(r.Context(), &params)
	if errs != nil {
		writeAnswer(w, statusOf(errs, accepted), exec.DispatchError(graphql.WithOperationContext(r.Context(), operation), errs))
		return
	}
	respond, ctx := exec.DispatchOperation(r.Context(), operation)
	writeAnswer(w, http.StatusOK, respond(ctx))
}

func writeAnswer(w http.ResponseWriter, status int, response *graphql.Response) {
	written := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(written)
	written.Reset()
	writeResponse(written, response)
	w.Header().Set("Content-Length", strconv.Itoa(written.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(written.Bytes()) // who has left needs no answer
}

// acceptedType is the first type of an answer that a client accepts, and the older one if it is content with anything.
func acceptedType(accept string) string {
	if accept == "" {
		return plainJSON
	}
	for part := range strings.SplitSeq(accept, ",") {
		switch kind, _, _ := mime.ParseMediaType(part); kind {
		case "*/*", "application/*", plainJSON:
			return plainJSON
		case graphqlResponse:
			return graphqlResponse
		}
	}
	return graphqlResponse
}

// statusOf is the status of an answer to an operation that did not run.
func statusOf(errs gqlerror.List, accepted string) int {
	switch {
	case errcode.GetErrorKind(errs) != errcode.KindProtocol:
		return http.StatusOK
	case accepted == graphqlResponse:
		return http.StatusBadRequest
	}
	return http.StatusUnprocessableEntity
}
