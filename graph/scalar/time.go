package scalar

import (
	"io"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"corridor/internal/chat"
)

// MarshalDateTime writes a time in RFC 3339, in UTC, with the microseconds that Postgres keeps.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		io.WriteString(w, strconv.Quote(t.UTC().Format("2006-01-02T15:04:05.000000Z"))) //nolint:errcheck // gqlgen's writers are buffers
	})
}

// UnmarshalDateTime reads a time in RFC 3339, of the years 1 to 9999 and to the microsecond.
func UnmarshalDateTime(v any) (time.Time, error) {
	if text, ok := v.(string); ok && len(text) <= maxID {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			t = t.UTC().Truncate(time.Microsecond)
			if 0 < t.Year() && t.Year() < 10_000 {
				return t, nil
			}
		}
	}
	return time.Time{}, &chat.Error{Code: chat.CodeInvalid, Message: "A time is not in RFC 3339, as in 2026-11-25T08:00:00Z."}
}

// MarshalCursor writes a cursor.
func MarshalCursor(cursor string) graphql.Marshaler { return graphql.MarshalString(cursor) }

// UnmarshalCursor reads a cursor. An empty one is none: whoever lost their cursor must hear of it.
func UnmarshalCursor(v any) (string, error) {
	if cursor, ok := v.(string); ok && cursor != "" {
		return cursor, nil
	}
	return "", &chat.Error{Code: chat.CodeCursorInvalid, Message: "This is no cursor. Leave it out to begin at the beginning."}
}
