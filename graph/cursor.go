package graph

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"corridor/internal/chat"
)

// seal encrypts the cursors of lists that are ordered by names and addresses: cursors end up in
// addresses and logs, where those must not be. Each is good for one person and one list, and the same place in a
// list has always the same cursor.
type seal struct {
	key  []byte
	aead cipher.AEAD
}

func newSeal(key []byte) (seal, error) {
	hash := sha256.Sum256(key)
	block, err := aes.NewCipher(hash[:])
	if err != nil {
		return seal{}, err
	}
	aead, err := cipher.NewGCM(block)
	return seal{key, aead}, err
}

// close seals a cursor of a list for one person.
func (s seal) close(reader *chat.Actor, list, cursor string) string {
	// The nonce is made from what it is used for, so that it is used for nothing else.
	bound := boundTo(reader, list)
	mac := hmac.New(sha256.New, s.key)
	mac.Write(bound)
	mac.Write([]byte(cursor))
	nonce := mac.Sum(nil)[:s.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, []byte(cursor), bound))
}

// boundTo is what a cursor is bound to.
func boundTo(reader *chat.Actor, list string) []byte { return append(reader.User.ID.UUID[:], list...) }

// allChanges is the list of all changes of the directory, which is one however it is read.
const allChanges = ""

// SealCursor seals a cursor of changes for one person as the cursors of the API are, so that the API takes it.
func (h *Handler) SealCursor(reader *chat.Actor, cursor string) string {
	return h.seal.close(reader, allChanges, cursor)
}

// noCursor is refused by every list.
const noCursor = "!"

// open returns what was sealed, or what no list takes.
func (s seal) open(reader *chat.Actor, list, sealed string) string {
	written, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(written) < s.aead.NonceSize() {
		return noCursor
	}
	cursor, err := s.aead.Open(nil, written[:s.aead.NonceSize()], written[s.aead.NonceSize():], boundTo(reader, list))
	if err != nil {
		return noCursor
	}
	return string(cursor)
}
