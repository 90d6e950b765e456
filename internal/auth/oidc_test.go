package auth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issuerUnderTest is an OpenID Connect issuer as it should not be: what it answers can be anything.
type issuerUnderTest struct {
	*httptest.Server
	key       *rsa.PrivateKey
	discovery func(at string) string
	keys      func() string
	// kept is what was saved.
	kept    []byte
	fetched time.Time
}

func newIssuer(t *testing.T) *issuerUnderTest {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuerUnderTest{key: key}
	i.discovery = func(at string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, at, at+"/keys") }
	i.keys = func() string { return keySet(jwkOf(key, "one")) }
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(i.discovery(i.URL))) })
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(i.keys())) })
	mux.Handle("/moved", http.RedirectHandler("/keys", http.StatusFound))
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func jwkOf(key *rsa.PrivateKey, id string) map[string]any {
	return map[string]any{"kty": "RSA", "use": "sig", "kid": id, "alg": "RS256", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": "AQAB"}
}

func keySet(keys ...map[string]any) string {
	written, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return string(written)
}

// verifier trusts the issuer.
func (i *issuerUnderTest) verifier(t *testing.T) *OIDC {
	t.Helper()
	oidc, err := NewOIDC(t.Context(), OIDCOptions{
		Issuer: i.URL, Audience: "chat", Logger: slog.New(slog.DiscardHandler),
		Load: func(context.Context) ([]byte, time.Time, error) { return i.kept, i.fetched, nil },
		Save: func(_ context.Context, keys []byte, fetched time.Time) error {
			i.kept, i.fetched = keys, fetched
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return oidc
}

// token is signed by the issuer with the key of an id.
func (i *issuerUnderTest) token(t *testing.T, id string) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": i.URL, "aud": "chat", "email": "Ann@lakeside.example", "corridor_clinic": "Lakeside",
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	})
	token.Header["kid"] = id
	signed, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestATokenOfAnIssuerSaysWho(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)

	got, err := i.verifier(t).Verify(t.Context(), i.token(t, "one"))

	if err != nil || got.Email != "ann@lakeside.example" || got.Clinic != "Lakeside" || got.Token == "" || time.Since(got.IssuedAt) > time.Minute {
		t.Errorf("it says %+v (%v)", got, err)
	}
}

func TestKeysOutlastTheIssuerForAWeek(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	token := i.token(t, "one")
	if _, err := i.verifier(t).Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(i.kept), i.key.D.String()) || !strings.Contains(string(i.kept), `"one"`) {
		t.Errorf("kept were %s", i.kept)
	}
	i.Close()

	for age, good := range map[time.Duration]bool{time.Hour: true, 6 * 24 * time.Hour: true, 8 * 24 * time.Hour: false} {
		i.fetched = time.Now().Add(-age)
		_, err := i.verifier(t).Verify(t.Context(), token)
		if (err == nil) != good || errors.Is(err, ErrInvalid) || errors.Is(err, ErrExpired) {
			t.Errorf("after %s: %v", age, err)
		}
	}
	i.fetched = time.Now()
	stale := i.verifier(t)
	if _, err := stale.Verify(t.Context(), i.token(t, "two")); err == nil || errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown key while the issuer is away: %v, want that nobody knows", err)
	}
	i.kept = []byte("what is no set of keys")
	if _, err := i.verifier(t).Verify(t.Context(), token); err == nil || errors.Is(err, ErrInvalid) {
		t.Errorf("with kept keys that can't be read: %v, want that nobody knows", err)
	}
}

func TestAnIssuerThatIsNotAsItShouldBeIsNotBelieved(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // it is what must be refused
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*issuerUnderTest){
		"another issuer": func(i *issuerUnderTest) {
			i.discovery = func(at string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, at+"/", at+"/keys") }
		},
		"keys by plain HTTP": func(i *issuerUnderTest) {
			i.discovery = func(at string) string {
				return fmt.Sprintf(`{"issuer":%q,"jwks_uri":"http://keys.example/keys"}`, at)
			}
		},
		"keys in a file": func(i *issuerUnderTest) {
			i.discovery = func(at string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":"file:///etc/passwd"}`, at) }
		},
		"keys nowhere": func(i *issuerUnderTest) {
			i.discovery = func(at string) string { return fmt.Sprintf(`{"issuer":%q}`, at) }
		},
		"keys that moved": func(i *issuerUnderTest) {
			i.discovery = func(at string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, at, at+"/moved") }
		},
		"no JSON": func(i *issuerUnderTest) { i.discovery = func(string) string { return "<html>" } },
		"a huge answer": func(i *issuerUnderTest) {
			i.keys = func() string { return strings.Repeat(" ", keysBytes) + keySet(jwkOf(i.key, "one")) }
		},
		"no keys": func(i *issuerUnderTest) { i.keys = func() string { return `{"keys":[]}` } },
		"a secret": func(i *issuerUnderTest) {
			i.keys = func() string {
				return keySet(map[string]any{"kty": "oct", "kid": "one", "alg": "HS256", "k": "c2VjcmV0"})
			}
		},
		"a weak key": func(i *issuerUnderTest) { i.key = weak; i.keys = func() string { return keySet(jwkOf(weak, "one")) } },
		"a key for something else": func(i *issuerUnderTest) {
			i.keys = func() string {
				key := jwkOf(i.key, "one")
				key["use"] = "enc"
				return keySet(key)
			}
		},
		"a key without a name": func(i *issuerUnderTest) { i.keys = func() string { return keySet(jwkOf(i.key, "")) } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			spoil(i)

			_, err := i.verifier(t).Verify(t.Context(), i.token(t, "one"))

			if err == nil || errors.Is(err, ErrInvalid) {
				t.Errorf("error %v, want that the keys can't be had", err)
			}
		})
	}
}

func TestOneBadKeyDoesNotSpoilTheOthers(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.keys = func() string {
		return keySet(map[string]any{"kty": "RSA", "kid": "broken", "n": "%", "e": "%"}, map[string]any{"kty": "XYZ", "kid": "new"}, jwkOf(i.key, "one"))
	}

	if _, err := i.verifier(t).Verify(t.Context(), i.token(t, "one")); err != nil {
		t.Error(err)
	}
}

func TestAnIssuerMustBeNamedRight(t *testing.T) {
	t.Parallel()
	for issuer, good := range map[string]bool{
		"https://sign-in.example.org": true, "https://sign-in.example.org/tenant/": true, "http://localhost:8080": true, "http://127.0.0.1": true, "http://[::1]:80": true,
		"": false, "sign-in.example.org": false, "http://sign-in.example.org": false, "https://": false, "https://a.example?x": false, "https://a.example#x": false,
		"https://user:word@a.example": false, "http://localhost.example.org": false, "ftp://localhost": false, "https://a.example/?": false, "http://10.0.0.1": false,
	} {
		if err := CheckIssuer(issuer); (err == nil) != good {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}

func TestTheNameOfATokenIsOfWhatWasSigned(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	oidc := i.verifier(t)
	token := i.token(t, "one")
	first, err := oidc.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	again, err := oidc.Verify(t.Context(), token)
	if err != nil || again.Token != first.Token {
		t.Errorf("one token has two names: %v", err)
	}
	if strings.Contains(token, first.Token) || len(first.Token) != 43 {
		t.Errorf("the name %q is a part of the token", first.Token)
	}
}
