package eventlog

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// maxAhead bounds the exceptions in a cursor: streams delivered beyond its position in the feed.
const maxAhead = 64

const (
	cursorVersion = 1
	macLength     = 8
	// maxCursor is longer than any cursor made here.
	maxCursor = 2048
)

// cursor is how far a reader has come: all of the feed up to pos, and beyond it the streams in
// ahead up to and with the given seq.
type cursor struct {
	incarnation int64
	pos         int64
	ahead       map[int64]int64
}

// isAheadOf tells whether the cursor knows more of the same feed than another one.
func (c cursor) isAheadOf(other cursor) bool {
	return c.incarnation == other.incarnation && c.pos > other.pos
}

// encode writes the cursor down for one reader. The code at its end makes a cursor of someone
// else's, or one that was changed, recognisable; it gives no right to anything.
func (c cursor) encode(key *cursorKey, reader uuid.UUID) string {
	b := []byte{cursorVersion}
	b = binary.AppendUvarint(b, uint64(c.incarnation))
	b = binary.AppendUvarint(b, uint64(c.pos))
	streams := make([]int64, 0, len(c.ahead))
	for stream := range c.ahead {
		if !planted("exceptions") {
			streams = append(streams, stream)
		}
	}
	slices.Sort(streams)
	last := int64(0)
	for _, stream := range streams {
		b = binary.AppendUvarint(b, uint64(stream-last))
		b = binary.AppendUvarint(b, uint64(c.ahead[stream]))
		last = stream
	}
	return base64.RawURLEncoding.EncodeToString(append(b, key.code(reader, b)...))
}

func decodeCursor(key *cursorKey, reader uuid.UUID, written string) (cursor, error) {
	if len(written) > maxCursor {
		return cursor{}, ErrCursorInvalid
	}
	b, err := base64.RawURLEncoding.DecodeString(written)
	if err != nil || len(b) < 1+macLength || b[0] != cursorVersion {
		return cursor{}, ErrCursorInvalid
	}
	// Line breaks and stray bits would be overlooked.
	if base64.RawURLEncoding.EncodeToString(b) != written {
		return cursor{}, ErrCursorInvalid
	}
	b, mac := b[:len(b)-macLength], b[len(b)-macLength:]
	if !hmac.Equal(mac, key.code(reader, b)) {
		return cursor{}, ErrCursorInvalid
	}
	rest, ok := b[1:], true
	next := func() int64 {
		value, n := binary.Uvarint(rest)
		if n <= 0 {
			ok, rest = false, nil
			return 0
		}
		rest = rest[n:]
		return int64(value)
	}
	c := cursor{incarnation: next(), pos: next(), ahead: map[int64]int64{}}
	for stream := int64(0); ok && len(rest) > 0; {
		stream += next()
		c.ahead[stream] = next()
	}
	if !ok || c.pos < 0 || len(c.ahead) > maxAhead {
		return cursor{}, ErrCursorInvalid
	}
	return c, nil
}

// Owns tells whether a cursor was made here for the reader. It may be too old to resume from.
func (l *Log) Owns(reader uuid.UUID, cursor string) bool {
	_, err := decodeCursor(l.key, reader, cursor)
	return err == nil
}

// cursorKey makes the codes of cursors. Hashes are used again: they have taken in the key, which takes longer than what they are for.
type cursorKey struct{ hashes sync.Pool }

func newCursorKey(key []byte) *cursorKey {
	return &cursorKey{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

func (k *cursorKey) code(reader uuid.UUID, message []byte) []byte {
	mac := k.hashes.Get().(hash.Hash)
	defer k.hashes.Put(mac)
	mac.Reset()
	mac.Write(reader[:])
	mac.Write(message)
	return mac.Sum(nil)[:macLength]
}
