package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Links signs addresses: each is for one person, one thing and a short time. Whoever has such an address has
// nothing yet: they must also be the person for whom it was signed.
type Links struct{ key []byte }

// NewLinks signs with a key, which all instances must share.
func NewLinks(key []byte) Links { return Links{key} }

// Sign makes of a path one that is good for a person until a time, in whole seconds.
func (l Links) Sign(path string, person uuid.UUID, until time.Time) string {
	path += "/" + strconv.FormatInt(until.Unix(), 10)
	return path + "/" + l.signature(path, person)
}

// Verify tells whether a path was signed for a person: if not the error is ErrInvalid, and if it was but has run
// out ErrExpired.
func (l Links) Verify(signed string, person uuid.UUID) error {
	path, signature := cutLast(signed)
	if !hmac.Equal([]byte(signature), []byte(l.signature(path, person))) {
		return ErrInvalid
	}
	_, expires := cutLast(path)
	until, err := strconv.ParseInt(expires, 10, 64)
	if err != nil {
		return ErrInvalid
	}
	if !time.Now().Before(time.Unix(until, 0)) {
		return ErrExpired
	}
	return nil
}

// cutLast parts a path before its last segment.
func cutLast(path string) (before, last string) {
	i := max(0, strings.LastIndexByte(path, '/'))
	return path[:i], strings.TrimPrefix(path[i:], "/")
}

func (l Links) signature(path string, person uuid.UUID) string {
	code := hmac.New(sha256.New, l.key)
	code.Write(person[:]) // which is always as long
	code.Write([]byte(path))
	return base64.RawURLEncoding.EncodeToString(code.Sum(nil)[:16])
}
