// Package auth answers who is asking: it turns a bearer token, or the key of a
// partner, into the actor who bears it (Door).
//
// A token is believed only when it was signed with an algorithm and a key that
// were configured, for this service, and has not run out. Our own tokens are
// signed with a secret (Key), those of a host application with the keys of its
// OpenID Connect issuer (OIDC); which of the two verifies a token is decided
// before either, and the other is never asked. Why a token was refused is
// nobody's business but ours: the caller learns that it has expired, or that it
// is not valid, and no more.
package auth

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"corridor/internal/chat"
)

// Every refusal is one of these two.
var (
	// ErrInvalid means that the token proves nothing.
	ErrInvalid = errors.New("the token is not valid")
	// ErrExpired means that the token was good once: ask for a fresh one.
	ErrExpired = errors.New("the token has expired")
)

const (
	issuer   = "corridor"
	audience = "corridor"

	// A longer token is refused before anything is decoded. Those of an OpenID
	// Connect issuer with many claims have two or three kilobytes.
	maxTokenBytes = 8192

	// How far the clock of who issued a token may be ahead of ours.
	clockDifference = 30 * time.Second

	// HMAC-SHA256 with a key shorter than its hash can be guessed offline.
	minSecretBytes = 32
)

// A Verifier turns a token into what it says of its bearer. It fails with ErrInvalid or
// ErrExpired; any other error means that it could not find out.
type Verifier interface {
	Verify(ctx context.Context, token string) (chat.Credential, error)
}

// A Key signs and verifies tokens with a shared secret, by HS256.
type Key struct {
	secret []byte
	parser *jwt.Parser
	// good are tokens that were verified lately, by their hashes: most requests come with one of a few. Only time makes one of them bad.
	good *lru.Cache[[sha256.Size]byte, chat.Credential]
}

// maxGood bounds the tokens that are remembered, which have a quarter of a kilobyte each.
const maxGood = 10_000

var _ Verifier = (*Key)(nil)

// NewKey makes a key of a secret of at least 32 bytes.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) < minSecretBytes {
		return nil, fmt.Errorf("the signing secret has %d bytes and needs at least %d: make one with `openssl rand -base64 48`",
			len(secret), minSecretBytes)
	}
	good, err := lru.New[[sha256.Size]byte, chat.Credential](maxGood)
	if err != nil {
		return nil, fmt.Errorf("remember tokens: %w", err)
	}
	return &Key{
		secret: append([]byte(nil), secret...),
		good:   good,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithIssuer(issuer),
			jwt.WithAudience(audience),
			jwt.WithExpirationRequired(),
			jwt.WithStrictDecoding(),
		),
	}, nil
}

// Mint makes a token for a person that is good for ttl.
func (k *Key) Mint(subject uuid.UUID, ttl time.Duration) (string, error) {
	if subject == uuid.Nil {
		return "", errors.New("mint a token: it needs a subject")
	}
	if ttl < time.Second {
		return "", fmt.Errorf("mint a token: it must be good for a second at least, not %v", ttl)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer:    issuer,
		Audience:  jwt.ClaimStrings{audience},
		Subject:   subject.String(),
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		ID:        id.String(),
	}).SignedString(k.secret)
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	return token, nil
}

// Verify believes tokens that this key has signed, for this service, and that
// have not run out. There is no leeway: who signs and who verifies share a clock.
func (k *Key) Verify(_ context.Context, token string) (chat.Credential, error) {
	if len(token) > maxTokenBytes {
		return chat.Credential{}, invalid("it is too long")
	}
	sum := sha256.Sum256([]byte(token))
	if credential, ok := k.good.Get(sum); ok && time.Now().Before(credential.ExpiresAt) {
		return credential, nil
	}
	credential, err := k.verify(token)
	if err == nil {
		k.good.Add(sum, credential)
	}
	return credential, err
}

func (k *Key) verify(token string) (chat.Credential, error) {
	var claims jwt.RegisteredClaims
	parsed, err := k.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, invalid(demanding)
		}
		return k.secret, nil
	})
	switch {
	case err == nil:
	case errors.Is(err, jwt.ErrTokenExpired) && // its signature was good, but so must the rest be
		!errors.Is(err, jwt.ErrTokenInvalidIssuer) && !errors.Is(err, jwt.ErrTokenInvalidAudience):
		return chat.Credential{}, ErrExpired
	default:
		return chat.Credential{}, invalid(whatIsWrong(err))
	}
	// One person, one spelling: uuid.Parse would take braces and urn: as well.
	subject, err := uuid.Parse(claims.Subject)
	if err != nil || subject == uuid.Nil || subject.String() != claims.Subject {
		return chat.Credential{}, invalid("its subject is no id of a person")
	}
	issued, ok := issuedAt(claims)
	if !ok {
		return chat.Credential{}, invalid(notIssued)
	}
	return chat.Credential{Subject: subject, Token: nameOf(parsed), IssuedAt: issued, ExpiresAt: claims.ExpiresAt.Time}, nil
}

// What is wrong with tokens, for the log of operators. It repeats nothing that stands in them.
const (
	demanding = "it demands that one understands what nobody here does"
	notIssued = "when it was issued is not said, or lies ahead"
)

func invalid(reason string) error { return fmt.Errorf("%w: %s", ErrInvalid, reason) }

// whatIsWrong says why a token could not be believed, by the first of these that is so.
func whatIsWrong(err error) string {
	for _, is := range []struct {
		err    error
		reason string
	}{
		{jwt.ErrTokenMalformed, "it is not written as tokens are"},
		{jwt.ErrTokenSignatureInvalid, "its signature is not good, or of an algorithm that is not taken"},
		{jwt.ErrTokenInvalidIssuer, "it is of another issuer"},
		{jwt.ErrTokenInvalidAudience, "it is for another audience"},
		{jwt.ErrTokenNotValidYet, "it is not good yet"},
		{jwt.ErrTokenUsedBeforeIssued, notIssued},
		{jwt.ErrTokenRequiredClaimMissing, "it lacks a claim that all tokens need, such as when it expires"},
	} {
		if errors.Is(err, is.err) {
			return is.reason
		}
	}
	if _, reason, ok := strings.Cut(err.Error(), ErrInvalid.Error()+": "); ok && errors.Is(err, ErrInvalid) {
		return reason // it is ours
	}
	return "its claims are not as they must be"
}

// issuedAt is when a token says that it was issued, if it does. It is not ok if that lies ahead, for
// such a token would outlive the end of all sessions, or is no time at all.
func issuedAt(claims jwt.RegisteredClaims) (at time.Time, ok bool) {
	if claims.IssuedAt == nil {
		return time.Time{}, true
	}
	at = claims.IssuedAt.Time
	return at, at.Unix() > 0 && time.Until(at) <= clockDifference
}

// nameOf names a token by the hash of what was signed: of what was signed with an elliptic curve
// anybody can make a second signature, and so a second token.
func nameOf(token *jwt.Token) string {
	signed := token.Raw[:strings.LastIndexByte(token.Raw, '.')]
	hash := sha256.Sum256([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// Derive makes a key of 32 bytes for one purpose. Keys for different purposes
// tell nothing of each other, nor of the secret.
func (k *Key) Derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, k.secret, nil, "corridor "+purpose, sha256.Size)
	if err != nil {
		panic("auth: derive a key: " + err.Error()) // only a length over 255 hashes can fail
	}
	return key
}

// Format keeps the secret out of every log line that prints a key.
func (k *Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "auth.Key") }

// The b64token of RFC 6750.
var bearer = regexp.MustCompile(`^(?i:bearer) +([A-Za-z0-9\-._~+/]+=*)$`)

// FromRequest takes the bearer token from the Authorization header. It is not
// ok when there is none, when there are several, or when it is no bearer token.
func FromRequest(r *http.Request) (token string, ok bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", false
	}
	match := bearer.FindStringSubmatch(strings.TrimSpace(headers[0]))
	if match == nil {
		return "", false
	}
	return match[1], true
}
