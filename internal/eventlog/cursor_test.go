package eventlog

import (
	"encoding/base64"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

var ann = uuid.MustParse("00000000-0000-4000-8000-00000000000a")

// cursors are any that can come about.
func cursors() *rapid.Generator[cursor] {
	positive := rapid.Int64Min(1)
	return rapid.Custom(func(t *rapid.T) cursor {
		return cursor{
			incarnation: rapid.Int64Range(0, 1<<32-1).Draw(t, "incarnation"),
			pos:         rapid.Int64Min(0).Draw(t, "pos"),
			ahead:       rapid.MapOfN(positive, positive, 0, maxAhead).Draw(t, "ahead"),
		}
	})
}

func readers() *rapid.Generator[uuid.UUID] {
	return rapid.Custom(func(t *rapid.T) uuid.UUID {
		return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "reader"))
	})
}

func TestACursorReadsAsItWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		reader, want := readers().Draw(t, "reader"), cursors().Draw(t, "cursor")

		got, err := decodeCursor(testKey, reader, want.encode(testKey, reader))

		if err != nil || got.incarnation != want.incarnation || got.pos != want.pos || !maps.Equal(got.ahead, want.ahead) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func TestACursorOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		reader, other := readers().Draw(t, "reader"), readers().Draw(t, "other")
		if reader == other {
			t.Skip("they are the same")
		}
		written := cursors().Draw(t, "cursor").encode(testKey, reader)

		_, foreign := decodeCursor(testKey, other, written)
		_, elsewhere := decodeCursor(newCursorKey([]byte("another key")), reader, written)

		if !errors.Is(foreign, ErrCursorInvalid) || !errors.Is(elsewhere, ErrCursorInvalid) {
			t.Fatalf("another reader: %v, another key: %v", foreign, elsewhere)
		}
	})
}

func TestEveryAlterationOfACursorIsRefused(t *testing.T) {
	t.Parallel()
	c := cursor{incarnation: 3_141_592_653, pos: 271_828, ahead: map[int64]int64{42: 7, 1001: 12345}}
	for length := range 3 { // each remainder of base64
		written := c.encode(testKey, ann)
		refused := func(how, altered string) {
			t.Helper()
			if got, err := decodeCursor(testKey, ann, altered); !errors.Is(err, ErrCursorInvalid) {
				t.Errorf("%s: %q passes for %q as %+v, %v", how, altered, written, got, err)
			}
		}
		raw, err := base64.RawURLEncoding.DecodeString(written)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(raw) {
			raw[bit/8] ^= 1 << (bit % 8)
			refused("a bit", base64.RawURLEncoding.EncodeToString(raw))
			raw[bit/8] ^= 1 << (bit % 8)
		}
		for i := range len(written) + 1 {
			for _, char := range alphabet + "=+/ \r\n\x00é" {
				refused("one more character", written[:i]+string(char)+written[i:])
				if i < len(written) && rune(written[i]) != char {
					refused("another character", written[:i]+string(char)+written[i+1:])
				}
			}
			if i < len(written) {
				refused("one character less", written[:i]+written[i+1:])
			}
		}
		for i := range written {
			refused("cut off", written[:i])
		}
		refused("twice", written+written)
		refused("far too long", strings.Repeat("A", maxCursor+1))
		c.pos <<= 7 * (length + 1)
	}
}

// What nobody makes here is refused even if it bears a good code.
func TestACursorThatCanNotComeAboutIsRefused(t *testing.T) {
	t.Parallel()
	many := cursor{ahead: map[int64]int64{}}
	for stream := range int64(maxAhead + 1) {
		many.ahead[stream+1] = 1
	}
	for name, written := range map[string]string{
		"too many exceptions": many.encode(testKey, ann),
		"a negative position": cursor{pos: -1}.encode(testKey, ann),
		"a stream without seq": func() string {
			b := []byte{cursorVersion, 1, 1, 5}
			return base64.RawURLEncoding.EncodeToString(append(b, testKey.code(ann, b)...))
		}(),
		"another version": func() string {
			b := []byte{cursorVersion + 1, 1, 1}
			return base64.RawURLEncoding.EncodeToString(append(b, testKey.code(ann, b)...))
		}(),
	} {
		if got, err := decodeCursor(testKey, ann, written); !errors.Is(err, ErrCursorInvalid) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestTypicalCursorsAreShort(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := cursor{
			incarnation: rapid.Int64Range(0, 1<<32-1).Draw(t, "incarnation"),
			pos:         rapid.Int64Range(0, 1e9).Draw(t, "pos"),
			ahead:       rapid.MapOfN(rapid.Int64Range(1, 1e6), rapid.Int64Range(1, 1e5), 0, 4).Draw(t, "ahead"),
		}
		if n := len(c.encode(testKey, ann)); n < 6 || n > 60 {
			t.Fatalf("%+v takes %d characters", c, n)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(cursor{}.encode(testKey, ann))
	f.Add(cursor{incarnation: 1, pos: 2, ahead: map[int64]int64{3: 4}}.encode(testKey, ann))
	f.Fuzz(func(t *testing.T, written string) {
		c, err := decodeCursor(testKey, ann, written)
		switch {
		case err != nil && !errors.Is(err, ErrCursorInvalid):
			t.Errorf("%q is refused with %v", written, err)
		case err == nil && c.encode(testKey, ann) != written:
			t.Errorf("%q reads as %+v, which is written as %q", written, c, c.encode(testKey, ann))
		}
		// Behind a good code too.
		b := append([]byte{cursorVersion}, written...)
		c, err = decodeCursor(testKey, ann, base64.RawURLEncoding.EncodeToString(append(b, testKey.code(ann, b)...)))
		if err == nil && (c.pos < 0 || len(c.ahead) > maxAhead || c.ahead == nil) {
			t.Errorf("%q reads as %+v", b, c)
		}
	})
}
