package graph

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"corridor/internal/chat"
)

const (
	codeInternal        = "INTERNAL"
	codeTooComplex      = "COMPLEXITY_LIMIT_EXCEEDED" // gqlgen's
	codeUnauthenticated = "UNAUTHENTICATED"
	codeUnavailable     = "UNAVAILABLE"
)

// notAvailable is for who comes while the database is away.
const notAvailable = "The service is not available at the moment. Please try again."

// cancelled is what nobody reads: who asked is gone.
const cancelled = "The operation was cancelled."

// userErrors makes the expected failure of a mutation part of its payload; any other error stays
// one.
func userErrors(err error) ([]*chat.Error, error) {
	failure := new(chat.Error)
	if errors.As(err, &failure) {
		if failure.Field == nil {
			failure.Field = []string{}
		}
		return []*chat.Error{failure}, nil
	}
	return []*chat.Error{}, err
}

// presenter says of an error what the caller may know: all of an expected failure, what is theirs
// of a bad document, and of a fault nothing but an id that the log has too, and whether it passes by itself.
func presenter(logger *slog.Logger) graphql.ErrorPresenterFunc {
	return func(ctx context.Context, err error) *gqlerror.Error {
		failure, document, number := new(chat.Error), new(gqlerror.Error), new(strconv.NumError)
		switch {
		case errors.As(err, &failure):
			shown := refusal(string(failure.Code), failure.Message)
			shown.Path = graphql.GetPath(ctx)
			if len(failure.Field) > 0 {
				shown.Extensions["field"] = failure.Field
			}
			return shown
		case errors.As(err, &number):
			return refusal(errcode.ValidationFailed, "A number is out of the range of its type.")
		case errors.Is(err, chat.ErrSignedOut):
			return refusal(codeUnauthenticated, signInFirst)
		case errors.As(err, &document) && document.Extensions["code"] == codeTooComplex:
			return refusal(codeTooComplex, fmt.Sprintf(
				"The operation asks for too much: a list counts what is selected of an item for each that it may have, and all together may be %d. Ask for smaller pages.", complexityLimit))
		case errors.As(err, &document) && document.Unwrap() == nil:
			return maskInput(document)
		case abandoned(ctx):
			return refusal(codeInternal, cancelled)
		}
		fault := rand.Text()
		logger.ErrorContext(ctx, "a request failed", "fault", fault, "path", graphql.GetPath(ctx).String(), "error", chat.Describe(err))
		shown := refusal(codeInternal, "Something went wrong on our side. Please try again; if it stays, report the fault "+fault+".")
		if chat.Unavailable(err) {
			shown = refusal(codeUnavailable, notAvailable)
		}
		shown.Path = graphql.GetPath(ctx)
		shown.Extensions["fault"] = fault
		return shown
	}
}

// abandoned tells whether who asked is gone: what fails because of that is no fault.
func abandoned(ctx context.Context) bool {
	return context.Cause(ctx) == context.Canceled //nolint:errorlint // what we cut off has another cause
}
