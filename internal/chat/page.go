package chat

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// MaxPage is the largest page of any list.
const MaxPage = 100

// Page is a part of a list.
type Page[T any] struct {
	Items []T
	// HasNext and HasPrevious tell whether the list goes on behind and before the page. Only the
	// one in the direction of reading is certain.
	HasNext, HasPrevious bool
	// EventCursor resumes the stream of events at what the page shows, if it was asked for.
	EventCursor string
}

// Forward asks for the first items behind a cursor.
type Forward struct {
	First int
	// After is a cursor, empty for the beginning.
	After string
	// Most is how large the page may be, MaxPage if it is zero.
	Most int
	// WithCursor asks for the cursor of the event stream at what the page shows.
	WithCursor bool
}

// Valid refuses pages that are too large or too small.
func (f Forward) Valid() error {
	if f.Most > 0 {
		return validSize("first", f.First, f.Most)
	}
	return validSize("first", f.First, MaxPage)
}

// mostRoom bounds the room that is made for rows before they are read: there may be fewer.
const mostRoom = 1000

// runsOf parts rows that are in the order of their conversations, without copying them.
func runsOf[T any](rows []T, of func(*T) ConversationID) map[ConversationID][]T {
	parts := map[ConversationID][]T{}
	for begin := 0; begin < len(rows); {
		id, end := of(&rows[begin]), begin+1
		for end < len(rows) && of(&rows[end]) == id {
			end++
		}
		parts[id], begin = rows[begin:end:end], end
	}
	return parts
}

func validSize(field string, n, most int) error {
	if n < 0 || n > most {
		return invalid(field, "A page has from 0 to %d items.", most)
	}
	return nil
}

// position is what a cursor of a list holds: the values that the list is ordered by.
type position []string

// Cursor writes a position down. Whoever shows it hides what names are in it.
func Cursor(position []string) string {
	written, err := json.Marshal(position)
	if err != nil {
		panic(err) // strings can always be written
	}
	return base64.RawURLEncoding.EncodeToString(written)
}

func (f Forward) afterText(n int) (position, error) {
	if err := f.Valid(); err != nil {
		return nil, err
	}
	return readCursor("after", f.After, n)
}

// maxMicros is the end of the year 9999.
const maxMicros = 253402300799999999

// afterTime reads a cursor of a list that is ordered by a time, in microseconds, and an id.
func (f Forward) afterTime() (micros *int64, id *string, err error) {
	after, err := f.afterText(2)
	if err != nil || after == nil {
		return nil, nil, err
	}
	at, err := strconv.ParseInt(after[0], 10, 64)
	if err != nil || at < 0 || at > maxMicros {
		return nil, nil, foreignCursor("after")
	}
	return &at, after.at(1), nil
}

// foreignCursor is the answer to a cursor that is not one of the list.
func foreignCursor(field string) error {
	return &Error{Code: CodeCursorInvalid, Message: "This cursor is not one of this list.", Field: []string{field}}
}

// readCursor reads a position of n values, the last of which is an id. Without a cursor there is
// none.
func readCursor(field, cursor string, n int) (position, error) {
	if cursor == "" {
		return nil, nil
	}
	refused := foreignCursor(field)
	if len(cursor) > 4096 {
		return nil, refused
	}
	written, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, refused
	}
	var at position
	if err := json.Unmarshal(written, &at); err != nil || len(at) != n {
		return nil, refused
	}
	if id, err := uuid.Parse(at[n-1]); err != nil || id.String() != at[n-1] {
		return nil, refused
	}
	for _, value := range at {
		if _, err := clean(field, value, 1000, "\n"); err != nil {
			return nil, refused
		}
	}
	return at, nil
}

// at is the i-th value, or NULL without a cursor.
func (p position) at(i int) *string {
	if p == nil {
		return nil
	}
	return &p[i]
}

// forward makes a page of rows of which one more than wanted was read.
func forward[T any](rows []T, page Forward) Page[T] {
	if len(rows) > page.First {
		return Page[T]{Items: rows[:page.First], HasNext: true, HasPrevious: page.After != ""}
	}
	return Page[T]{Items: rows, HasPrevious: page.After != ""}
}

// from says at what place of the event stream the page was read.
func (p Page[T]) from(cursor string) Page[T] {
	p.EventCursor = cursor
	return p
}

func timePosition(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// PageOf cuts a page from a short list that is at hand, ordered by the positions of its items.
func PageOf[T interface{ Position() []string }](items []T, page Forward) (Page[T], error) {
	after, err := page.afterText(2)
	if err != nil {
		return Page[T]{}, err
	}
	if after != nil {
		behind := slices.IndexFunc(items, func(item T) bool { return slices.Compare(item.Position(), after) > 0 })
		if behind < 0 {
			behind = len(items)
		}
		items = items[behind:]
	}
	return forward(items, page), nil
}
