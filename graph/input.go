package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Codes of requests that never become an operation.
const (
	codeBadRequest   = "BAD_REQUEST"
	codeBodyTooLarge = "BODY_TOO_LARGE"
	codeMediaType    = "UNSUPPORTED_MEDIA_TYPE"
)

// bodyLimit is far above Limits.Bytes and Limits.Variables together.
const bodyLimit = 256 << 10

// jsonOnly lets only well-formed requests through to gqlgen, whose own answers
// to others repeat what the client sent. It guards against cross-site forms as
// well, which cannot send JSON.
func jsonOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" || r.Method == http.MethodOptions {
			next.ServeHTTP(w, r) // the socket reads its messages by the same rules
			return
		}
		var status int
		var refused *gqlerror.Error
		switch r.Method {
		case http.MethodPost:
			status, refused = checkPost(w, r)
		case http.MethodGet:
			status, refused = checkGet(r)
		default:
			w.Header().Set("Allow", "GET, POST, OPTIONS")
			status, refused = http.StatusMethodNotAllowed, refusal(codeMethod, "Send a POST request, or GET to read.")
		}
		if refused != nil {
			refuse(w, status, refused)
			return
		}
		plain := &plainRequest{method: r.Method, header: w.Header()}
		next.ServeHTTP(statusWriter{w, plain}, r.WithContext(context.WithValue(r.Context(), plainRequestKey{}, plain)))
		if plain.broken {
			panic(http.ErrAbortHandler) // here, because gqlgen takes every panic for a fault
		}
	})
}

func checkPost(w http.ResponseWriter, r *http.Request) (int, *gqlerror.Error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, refusal(codeMediaType, "Send the request as application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return http.StatusRequestEntityTooLarge, refusal(codeBodyTooLarge, fmt.Sprintf("The request is too large: it may have at most %d bytes.", bodyLimit))
	} else if err != nil {
		return http.StatusBadRequest, refusal(codeBadRequest, "The request broke off.")
	}
	body, refused := checkRequest(body)
	if refused != nil {
		return http.StatusBadRequest, refused
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return 0, nil
}

func checkGet(r *http.Request) (int, *gqlerror.Error) {
	if len(r.URL.RawQuery) > bodyLimit {
		return http.StatusRequestURITooLong, refusal(codeBodyTooLarge, fmt.Sprintf("The request is too large: it may have at most %d bytes.", bodyLimit))
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return http.StatusBadRequest, refusal(codeBadRequest, "The address is not well formed.")
	}
	request := map[string]any{"query": query.Get("query")}
	if query.Has("documentId") {
		request["documentId"] = query.Get("documentId")
	}
	for _, name := range []string{"variables", "extensions"} {
		if value := query.Get(name); value != "" {
			request[name] = json.RawMessage(value)
		}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return http.StatusBadRequest, refusal(codeBadRequest, "The variables and extensions must be JSON objects.")
	}
	body, refused := checkRequest(body)
	if refused != nil {
		return http.StatusBadRequest, refused
	}
	if query.Has("documentId") {
		var written requested
		if err := json.Unmarshal(body, &written); err != nil {
			panic(err) // it was written just now
		}
		extensions, err := json.Marshal(written.Extensions)
		if err != nil {
			panic(err) // as above
		}
		query.Set("extensions", string(extensions))
		at := *r.URL
		at.RawQuery = query.Encode()
		r.URL = &at
	}
	return 0, nil
}

// requested is what there may be in a request.
type requested struct {
	Query      *string                    `json:"query,omitempty"`
	Document   *string                    `json:"documentId,omitempty"`
	Operation  *string                    `json:"operationName,omitempty"`
	Variables  map[string]json.RawMessage `json:"variables,omitempty"`
	Extensions map[string]json.RawMessage `json:"extensions,omitempty"`
}

// checkRequest accepts one JSON object that asks for one operation, and returns it as gqlgen reads it, which knows no documentId.
func checkRequest(body []byte) ([]byte, *gqlerror.Error) {
	var request requested
	switch err := json.Unmarshal(body, &request); {
	case bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")):
		return nil, refusal(codeBadRequest, "Several operations in one request are not offered: send each by itself.")
	case err != nil:
		return nil, refusal(codeBadRequest, `The request must be one JSON object: "query", "documentId" and "operationName" are strings, "variables" and "extensions" are objects.`)
	}
	named := request.Document != nil
	if refused := request.nameDocument(); refused != nil || !named {
		return body, refused
	}
	request.Document = nil
	written, err := json.Marshal(request)
	if err != nil {
		panic(err) // it was read
	}
	return written, nil
}

// refuse answers without gqlgen, in its form.
func refuse(w http.ResponseWriter, status int, err *gqlerror.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": gqlerror.List{err}}) // who has left needs no answer
}

// A statusWriter lets extensions choose the status, which gqlgen derives from the error's kind alone.
type statusWriter struct {
	http.ResponseWriter
	plain *plainRequest
}

func (w statusWriter) WriteHeader(status int) {
	if w.plain.status != 0 {
		status = w.plain.status
	}
	w.plain.answered = true
	w.ResponseWriter.WriteHeader(status)
}

// Write answers with the status that was chosen also where gqlgen names none. What is chosen when a stream has begun is too late.
func (w statusWriter) Write(b []byte) (int, error) {
	if !w.plain.answered {
		w.plain.answered = true
		if w.plain.status != 0 {
			w.ResponseWriter.WriteHeader(w.plain.status)
		}
	}
	return w.ResponseWriter.Write(b)
}

func (w statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type (
	plainRequestKey struct{}
	plainRequest    struct {
		method   string
		header   http.Header // of the answer
		status   int         // to answer with instead, once set
		answered bool        // the status has been sent
		broken   bool        // the answer is not whole, and must not look so
	}
)

// What the parser and the validator say that is theirs. The client's text, if
// any, comes after it.
var (
	syntaxError = regexp.MustCompile(`^(?:Unexpected|Expected (?:"[a-z]+"|\S+), found|expected at least one definition, found) (?:<?[A-Za-z]+>?|[^\w\s"<]+)`)
	wrongValue  = regexp.MustCompile(`^(?:Expected value of type "[^"]+"|Enum "[^"]+" cannot represent non-enum value|[A-Za-z]+ cannot represent [-a-z0-9 ]+ value|Field ".*|OneOf .*)`)
	wrongEnum   = regexp.MustCompile(`(?s)^.* is not a valid (\w+)$`)
	wrongNumber = regexp.MustCompile(`^cannot use .* as (\w+)$`)
)

// maskInput takes the client's text out of an error about a document or its
// variables, for it may be about a patient. Names stay, values go. Errors of
// other kinds are not touched, and masking twice is masking once.
func maskInput(err *gqlerror.Error) *gqlerror.Error {
	masked := *err
	switch code := err.Extensions["code"]; {
	case strings.HasPrefix(err.Message, "Syntax error"): // masked before it was kept
		return err
	case code == errcode.ParseFailed:
		masked.Message = strings.TrimSuffix("Syntax error: "+syntaxError.FindString(err.Message), ": ") + "."
	case code != errcode.ValidationFailed:
		return err
	case strings.HasPrefix(err.Rule, "ValuesOfCorrectType"):
		masked.Message = "A value is not one of those that its type has."
		if ours := wrongValue.FindString(err.Message); ours != "" {
			masked.Message = strings.TrimSuffix(ours, ".") + "."
		}
	case err.Rule != "": // other rules speak of names
	case len(err.Path) > 0 && err.Message == "unknown field": // its name is any string of the client's
		masked.Path = err.Path[:len(err.Path)-1]
		masked.Message = "The value has a field that its type has not."
	case len(err.Path) > 0 && err.Message == "must be defined":
		masked.Message = "A value is missing."
	case len(err.Path) > 0:
		masked.Message = wrongEnum.ReplaceAllString(err.Message, "The value is none of the enum $1.")
		masked.Message = wrongNumber.ReplaceAllString(masked.Message, "The value cannot be used as $1.")
	case err.Message == "operation  not found":
		masked.Message = "The document has several operations: say which in operationName."
	case strings.HasPrefix(err.Message, "operation "):
		masked.Message = "The document has no operation of that name."
	}
	if len(masked.Message) > 400 {
		masked.Message = "The operation does not fit the schema."
	}
	return &masked
}

func refusal(code, sentence string) *gqlerror.Error {
	return &gqlerror.Error{Message: sentence, Extensions: map[string]any{"code": code}}
}
