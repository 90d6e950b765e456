package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"corridor/internal/chat"
)

var (
	secret = []byte("a secret of the clinic that is long enough")
	ann    = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
)

func newKey(t *testing.T) *Key {
	t.Helper()
	key, err := NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// claims are good ones; a test spoils one of them.
func claims(spoil func(jwt.MapClaims)) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": "corridor",
		"aud": "corridor",
		"sub": ann.String(),
		"exp": time.Now().Add(time.Hour).Unix(),
	}
	if spoil != nil {
		spoil(c)
	}
	return c
}

func sign(t *testing.T, method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAMintedTokenIsBelieved(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	token, err := key.Mint(ann, time.Hour)
	if err != nil {
		t.Fatal(err)
	}

	got, err := key.Verify(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject != ann {
		t.Errorf("subject %v, want %v", got.Subject, ann)
	}
	if left := time.Until(got.ExpiresAt); left < 59*time.Minute || left > time.Hour {
		t.Errorf("the token is good for %v, want an hour", left)
	}
}

func TestEveryMintedTokenIsAnother(t *testing.T) {
	t.Parallel()
	key := newKey(t)

	first, _ := key.Mint(ann, time.Hour)
	second, _ := key.Mint(ann, time.Hour)

	if first == second {
		t.Error("two tokens are the same: they lack an id of their own")
	}
}

func TestATokenIsRefused(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func(spoil func(jwt.MapClaims)) string {
		return sign(t, jwt.SigningMethodHS256, secret, claims(spoil))
	}
	good := hs256(nil)
	part := strings.Split(good, ".")
	otherPayload := strings.Split(hs256(func(c jwt.MapClaims) { c["sub"] = uuid.NewString() }), ".")[1]
	critical := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil))
	critical.Header["crit"] = []string{"exp"}
	withCrit, err := critical.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		token string
		want  error
	}{
		"unsigned":              {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil)), ErrInvalid},
		"unsigned, renamed":     {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"NonE"}`)) + "." + part[1] + ".", ErrInvalid},
		"signature cut off":     {part[0] + "." + part[1] + ".", ErrInvalid},
		"HS512 with our secret": {sign(t, jwt.SigningMethodHS512, secret, claims(nil)), ErrInvalid},
		"RS256":                 {sign(t, jwt.SigningMethodRS256, rsaKey, claims(nil)), ErrInvalid},
		"altered payload":       {part[0] + "." + otherPayload + "." + part[2], ErrInvalid},
		"another key":           {sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 40)), claims(nil)), ErrInvalid},
		"another audience":      {hs256(func(c jwt.MapClaims) { c["aud"] = "pharmacy" }), ErrInvalid},
		"no audience":           {hs256(func(c jwt.MapClaims) { delete(c, "aud") }), ErrInvalid},
		"another issuer":        {hs256(func(c jwt.MapClaims) { c["iss"] = "pharmacy" }), ErrInvalid},
		"no issuer":             {hs256(func(c jwt.MapClaims) { delete(c, "iss") }), ErrInvalid},
		"no expiry":             {hs256(func(c jwt.MapClaims) { delete(c, "exp") }), ErrInvalid},
		"expiry of another type": {hs256(func(c jwt.MapClaims) {
			c["exp"] = "tomorrow"
		}), ErrInvalid},
		"expired": {hs256(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Second).Unix() }), ErrExpired},
		"expired, for another service": {hs256(func(c jwt.MapClaims) {
			c["exp"], c["aud"] = time.Now().Add(-time.Hour).Unix(), "pharmacy"
		}), ErrInvalid},
		"expired, of another key": {sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 40)), claims(func(c jwt.MapClaims) {
			c["exp"] = time.Now().Add(-time.Hour).Unix()
		})), ErrInvalid},
		"issued in the future": {hs256(func(c jwt.MapClaims) { c["iat"] = time.Now().Add(time.Hour).Unix() }), ErrInvalid},
		"not yet good":         {hs256(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() }), ErrInvalid},
		"no subject":           {hs256(func(c jwt.MapClaims) { delete(c, "sub") }), ErrInvalid},
		"subject is nobody":    {hs256(func(c jwt.MapClaims) { c["sub"] = uuid.Nil.String() }), ErrInvalid},
		"subject is a name":    {hs256(func(c jwt.MapClaims) { c["sub"] = "ann" }), ErrInvalid},
		"subject in braces":    {hs256(func(c jwt.MapClaims) { c["sub"] = "{" + ann.String() + "}" }), ErrInvalid},
		"a critical header":    {withCrit, ErrInvalid},
		"oversized":            {hs256(func(c jwt.MapClaims) { c["note"] = strings.Repeat("x", maxTokenBytes) }), ErrInvalid},
		"empty":                {"", ErrInvalid},
		"garbage":              {"not a token", ErrInvalid},
		"dots":                 {"..", ErrInvalid},
		"garbage of our form":  {"YQ.YQ.YQ", ErrInvalid},
		"space around it":      {" " + good + " ", ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := newKey(t).Verify(context.Background(), test.token)

			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			for _, part := range strings.Split(test.token, ".") {
				if len(part) > 3 && strings.Contains(err.Error(), part) {
					t.Errorf("the log is told of the token: %v", err)
				}
			}
			if got != (chat.Credential{}) {
				t.Errorf("a refused token made claims: %v", got)
			}
		})
	}
}

func TestAShortSecretIsRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()

	_, err := NewKey(secret[:31])

	if err == nil || !strings.Contains(err.Error(), "openssl rand -base64 48") {
		t.Errorf("error %v, want one that says how to make a secret", err)
	}
}

func TestAKeyDoesNotChangeUnderItsOwner(t *testing.T) {
	t.Parallel()
	mine := bytes.Clone(secret)
	key, err := NewKey(mine)
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Mint(ann, time.Hour)
	if err != nil {
		t.Fatal(err)
	}

	clear(mine)

	if _, err := key.Verify(context.Background(), token); err != nil {
		t.Errorf("the key follows its caller's bytes: %v", err)
	}
}

func TestMintRefusesTokensForNobodyOrNoTime(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	if _, err := key.Mint(uuid.Nil, time.Hour); err == nil {
		t.Error("a token for nobody was minted")
	}
	if _, err := key.Mint(ann, 0); err == nil {
		t.Error("a token for no time was minted")
	}
}

func TestDerivedKeysDifferByPurpose(t *testing.T) {
	t.Parallel()
	key := newKey(t)

	cursor, file := key.Derive("cursor"), key.Derive("file")

	if len(cursor) != 32 || bytes.Equal(cursor, file) || bytes.Equal(cursor, secret[:32]) {
		t.Error("derived keys must have 32 bytes and share nothing")
	}
	if again := newKey(t).Derive("cursor"); !bytes.Equal(cursor, again) {
		t.Error("two instances with one secret derive different keys")
	}
}

func TestAKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if printed := fmt.Sprintf(verb, newKey(t)); printed != "auth.Key" {
			t.Errorf("%s prints %q", verb, printed)
		}
	}
}

func TestTheTokenOfARequest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		headers []string
		want    string
	}{
		{[]string{"Bearer abc.def-_~+/=="}, "abc.def-_~+/=="},
		{[]string{"bEaReR abc"}, "abc"},
		{[]string{"Bearer   abc "}, "abc"},
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"Bearer"}, ""},
		{[]string{"Bearer "}, ""},
		{[]string{"Bearerabc"}, ""},
		{[]string{"Bearer a b"}, ""},
		{[]string{"Bearer a\"b"}, ""},
		{[]string{"Basic YTpi"}, ""},
		{[]string{"Bearer abc", "Bearer def"}, ""},
	} {
		r := &http.Request{Header: http.Header{"Authorization": test.headers}}

		token, ok := FromRequest(r)

		if token != test.want || ok != (test.want != "") {
			t.Errorf("%q gives %q, %t, want %q", test.headers, token, ok, test.want)
		}
	}
}

// A token that was verified before is believed at once, and no longer than it is good.
func TestATokenIsRememberedUntilItExpires(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	token, err := key.Mint(ann, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	sum, bob := sha256.Sum256([]byte(token)), uuid.New()
	bears := func(token string, want uuid.UUID) {
		t.Helper()
		if got, err := key.Verify(t.Context(), token); err != nil || got.Subject != want {
			t.Errorf("it is of %v, %v, want %v", got.Subject, err, want)
		}
	}

	bears(token, ann)
	key.good.Add(sum, chat.Credential{Subject: bob, ExpiresAt: time.Now().Add(time.Minute)})
	bears(token, bob) // what is remembered
	key.good.Add(sum, chat.Credential{Subject: bob, ExpiresAt: time.Now()})
	bears(token, ann)

	for _, bad := range []string{token + "x", token[1:], ""} {
		if _, err := key.Verify(t.Context(), bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("what is nearly a good one: %v", err)
		}
	}
	if n := key.good.Len(); n != 1 {
		t.Errorf("%d tokens are remembered", n)
	}
}
