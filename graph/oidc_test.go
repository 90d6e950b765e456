package graph_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"corridor/internal/auth"
	"corridor/internal/oidctest"
	"corridor/internal/pgtest"
)

// newWorldOf is a world whose people are signed in by a provider, or with tokens of our own.
func newWorldOf(t *testing.T, provider *oidctest.Provider, change ...func(*auth.OIDCOptions)) *world {
	t.Helper()
	return newWorldIn(t, pgtest.New(t), nil, func(w *world) {
		options := auth.OIDCOptions{
			Issuer: provider.Issuer, Audience: oidctest.Client, Logger: slog.New(slog.DiscardHandler),
			Load: func(context.Context) ([]byte, time.Time, error) { return nil, time.Time{}, nil },
			Save: func(context.Context, []byte, time.Time) error { return nil },
		}
		for _, change := range change {
			change(&options)
		}
		oidc, err := auth.NewOIDC(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		w.verifier = oidc.Beside(w.key)
	})
}

func TestAHostApplicationSignsItsPeopleIn(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	w := newWorldOf(t, provider)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	far := w.personOf("Hillside", "Ann Lee", "MA", "Front desk")
	group := ann.group("Case", bob)

	here := provider.SignIn(strings.ToUpper(ann.email[:3])+ann.email[3:], vars{"corridor_clinic": home})
	there := provider.SignIn(far.email, vars{"corridor_clinic": "Hillside"})
	byID := provider.SignIn(bob.email, vars{"corridor_clinic": home, "email": bob.userID.String()})

	for name, token := range map[string]string{"access token": here.Access, "ID token": here.ID} {
		ann.token = token
		check(t, name, ann.sees(`{ viewer { email clinic { name } } }`, nil).text("viewer.email"), ann.email)
		stream := ann.follows()
		bob.sends(group, "by "+name)
		check(t, "heard with "+name, stream.hears(), "Bob Roy: by "+name)
	}
	far.token, bob.token = there.Access, byID.Access
	check(t, "another clinic", far.sees(`{ viewer { clinic { name } } }`, nil).text("viewer.clinic.name"), "Hillside")
	check(t, "by id", bob.sees(`{ viewer { name } }`, nil).text("viewer.name"), "Bob Roy")
}

func TestATokenWithoutAClinicIsForTheOnlyOne(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	w := newWorldOf(t, provider)
	ann := w.person("Ann Lee", "Front desk")
	own := ann.token
	ann.token = provider.SignIn(ann.email, nil).Access
	check(t, "while there is one", ann.sees(`{ viewer { name } }`, nil).text("viewer.name"), "Ann Lee")

	w.personOf("Hillside", "Zoe", "MA", "Desk")

	check(t, "when there are two", ann.asks(`{ viewer { name } }`, nil).code(), "UNAUTHENTICATED")
	ann.token = own
	check(t, "a token of our own", ann.asks(`{ viewer { name } }`, nil).code(), "")
}

func TestWhoMustGiveMoreThanOneProofIsRefusedWithOne(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	w := newWorldOf(t, provider, func(options *auth.OIDCOptions) { options.MFAClaim, options.MFAValue = "acr", "strong" })
	ann := w.person("Ann Lee", "Front desk")
	for said, want := range map[any]string{"strong": "", "weak": "UNAUTHENTICATED", nil: "UNAUTHENTICATED", 2: "UNAUTHENTICATED", true: "UNAUTHENTICATED"} {
		ann.token = provider.SignIn(ann.email, vars{"acr": said}).Access
		check(t, fmt.Sprint(said), ann.asks(`{ viewer { name } }`, nil).code(), want)
	}
	ann.token = provider.SignIn(ann.email, vars{"acr": []string{"pwd", "strong"}}).Access
	check(t, "in a list", ann.asks(`{ viewer { name } }`, nil).code(), "")
	ann.token = provider.SignIn(ann.email, vars{"acr": []string{"pwd"}}).Access
	check(t, "not in a list", ann.asks(`{ viewer { name } }`, nil).code(), "UNAUTHENTICATED")
}

func TestKeysRotateAndUnknownOnesAreAskedForSeldom(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	w := newWorldOf(t, provider)
	ann := w.person("Ann Lee", "Front desk")
	old := provider.SignIn(ann.email, nil).Access
	ann.token = old
	ann.sees(`{ viewer { name } }`, nil)

	provider.Rotate()
	ann.token = provider.SignIn(ann.email, nil).Access

	check(t, "signed with the new key", ann.asks(`{ viewer { name } }`, nil).code(), "")
	ann.token = old
	check(t, "signed with a key that is withdrawn", ann.asks(`{ viewer { name } }`, nil).code(), "UNAUTHENTICATED")
	began, before := time.Now(), provider.Fetches()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				token := newForger(t, w, provider).signed(func(h, _ vars) { h["kid"] = uuid.NewString() })
				check(t, "an unknown key", w.asks(ann.at, token, `{ viewer { name } }`, nil).code(), "UNAUTHENTICATED")
			}
		})
	}
	all.Wait()
	// Both documents, three times at once and then every ten seconds.
	if fetches, most := provider.Fetches()-before, 2*(3+int64(time.Since(began)/(10*time.Second))+1); fetches > most {
		t.Errorf("400 tokens with unknown keys cost %d requests, want at most %d", fetches, most)
	}
}

func TestWithoutKeysNobodyCanTell(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	w := newWorldOf(t, provider)
	ann := w.person("Ann Lee", "Front desk")
	own := ann.token
	token := provider.SignIn(ann.email, nil).Access
	provider.Leave()

	refused := w.asks(ann.at, token, `{ viewer { name } }`, nil)
	socket := ann.subscribes(token, eventsDocument, nil)
	socket.ends()

	check(t, "over HTTP", fmt.Sprint(refused.status, " ", refused.code()), "503 UNAVAILABLE")
	check(t, "on a socket", int(socket.closed.Code), 1013)
	check(t, "with a token of our own", w.asks(ann.at, own, `{ viewer { name } }`, nil).code(), "")
	provider.Return()
	w.eventually("the keys are fetched again", func() bool {
		return w.asks(ann.at, token, `{ viewer { name } }`, nil).code() == ""
	})
}

// A forger makes tokens of all kinds.
type forger struct {
	t        *testing.T
	id       string
	key      *rsa.PrivateKey
	issuer   string
	email    string
	subject  uuid.UUID
	oversize string
}

func newForger(t *testing.T, w *world, provider *oidctest.Provider) *forger {
	t.Helper()
	f := &forger{t: t, issuer: provider.Issuer, oversize: strings.Repeat("x", 9000)}
	f.id, f.key = provider.Key()
	for _, p := range w.clinics[home] {
		f.email, f.subject = p.email, p.userID.UUID
	}
	return f
}

func part(value any) string {
	if raw, ok := value.(string); ok {
		return base64.RawURLEncoding.EncodeToString([]byte(raw))
	}
	written, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(written)
}

// token is one of any header and claims, signed in any way.
func (f *forger) token(header, claims any, method jwt.SigningMethod, key any) string {
	f.t.Helper()
	signed := part(header) + "." + part(claims)
	if method == nil {
		return signed + "."
	}
	signature, err := method.Sign(signed, key)
	if err != nil {
		f.t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (f *forger) headers() vars { return vars{"alg": "RS256", "typ": "JWT", "kid": f.id} }

func (f *forger) claims() vars {
	now := time.Now()
	return vars{
		"iss": f.issuer, "aud": []string{oidctest.Client}, "sub": "somebody", "email": f.email, "email_verified": true, "corridor_clinic": home,
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(), "jti": uuid.NewString(),
	}
}

// signed is a token of the provider's that is spoilt.
func (f *forger) signed(spoil func(header, claims vars)) string {
	f.t.Helper()
	header, claims := f.headers(), f.claims()
	spoil(header, claims)
	return f.token(header, claims, jwt.SigningMethodRS256, f.key)
}

// own is a token of ours that is spoilt.
func (f *forger) own(spoil func(header, claims vars)) string {
	f.t.Helper()
	header, claims := vars{"alg": "HS256", "typ": "JWT"}, f.ownClaims()
	spoil(header, claims)
	return f.token(header, claims, jwt.SigningMethodHS256, secret)
}

func (f *forger) ownClaims() vars {
	now := time.Now()
	return vars{"iss": "corridor", "aud": "corridor", "sub": f.subject.String(), "exp": now.Add(time.Hour).Unix(), "iat": now.Unix()}
}

// badOfTheirs are bad tokens that look like those of the issuer.
func (f *forger) badOfTheirs() map[string]string {
	t := f.t
	claim := func(name string, value any) string {
		return f.signed(func(_, c vars) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		})
	}
	header := func(name string, value any) string {
		return f.signed(func(h, _ vars) {
			if h[name] = value; value == nil {
				delete(h, name)
			}
		})
	}
	with := func(algorithm string, method jwt.SigningMethod, key any) string {
		h := f.headers()
		h["alg"] = algorithm
		return f.token(h, f.claims(), method, key)
	}
	another, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	embedded := vars{"kty": "RSA", "kid": f.id, "n": base64.RawURLEncoding.EncodeToString(another.N.Bytes()), "e": "AQAB"}
	forged := func(change vars) string {
		h := f.headers()
		maps.Copy(h, change)
		return f.token(h, f.claims(), jwt.SigningMethodRS256, another)
	}
	good := f.signed(func(_, _ vars) {})
	parts := strings.Split(good, ".")
	now := time.Now()
	return map[string]string{
		"no signature":                      f.token(vars{"alg": "none", "kid": f.id}, f.claims(), nil, nil),
		"no signature, capital letters":     f.token(vars{"alg": "NONE", "kid": f.id}, f.claims(), nil, nil),
		"the signature cut off":             parts[0] + "." + parts[1] + ".",
		"two parts":                         parts[0] + "." + parts[1],
		"four parts":                        good + "." + parts[2],
		"half of the signature":             parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])/2],
		"the signature of another":          parts[0] + "." + parts[1] + "." + strings.Split(claim("jti", "other"), ".")[2],
		"altered claims":                    parts[0] + "." + part(vars{"iss": f.issuer, "aud": oidctest.Client, "email": f.email, "exp": now.Add(time.Hour).Unix()}) + "." + parts[2],
		"an altered header":                 part(vars{"alg": "RS256", "kid": f.id, "x": 1}) + "." + parts[1] + "." + parts[2],
		"padding":                           good + "==",
		"the public key as a secret":        with("HS256", jwt.SigningMethodHS256, public),
		"the public key as a secret, bare":  with("HS256", jwt.SigningMethodHS256, der),
		"the modulus as a secret":           with("HS256", jwt.SigningMethodHS256, f.key.N.Bytes()),
		"the public key as a longer secret": with("HS512", jwt.SigningMethodHS512, public),
		"our secret":                        with("HS256", jwt.SigningMethodHS256, secret),
		"our secret under their algorithm":  with("RS256", jwt.SigningMethodHS256, secret),
		"another use of the key":            with("PS256", jwt.SigningMethodPS256, f.key),
		"another hash":                      with("RS512", jwt.SigningMethodRS512, f.key),
		"a hash under another name":         with("RS256", jwt.SigningMethodRS384, f.key),
		"an elliptic curve":                 with("ES256", jwt.SigningMethodES256, p256),
		"an Edwards curve":                  with("EdDSA", jwt.SigningMethodEdDSA, edwards),
		"an algorithm of no name":           with("", jwt.SigningMethodRS256, f.key),
		"an algorithm nobody knows":         with("RS257", jwt.SigningMethodRS256, f.key),
		"an algorithm in small letters":     with("rs256", jwt.SigningMethodRS256, f.key),
		"no algorithm":                      header("alg", nil),
		"another key of theirs":             forged(nil),
		"its own key":                       forged(vars{"jwk": embedded}),
		"the address of its key":            forged(vars{"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/key"}),
		"its own certificate":               forged(vars{"x5c": []string{base64.StdEncoding.EncodeToString(der)}}),
		"an unknown key":                    header("kid", "nobody's"),
		"a key that is a path":              header("kid", "../../dev/null"),
		"a key that is SQL":                 header("kid", "' OR 1=1 --"),
		"a key that is a number":            header("kid", 1),
		"no key":                            header("kid", nil),
		"something critical":                header("crit", []string{"exp"}),
		"a notice of a sign-out":            header("typ", "logout+jwt"),
		"a type that is a number":           header("typ", 1),
		"for another service":               claim("aud", "pharmacy"),
		"for others":                        claim("aud", []string{"pharmacy", "laboratory"}),
		"for nobody":                        claim("aud", nil),
		"for a number":                      claim("aud", 7),
		"of another issuer":                 claim("iss", "https://elsewhere.example"),
		"of a similar issuer":               claim("iss", f.issuer+"/"),
		"of no issuer":                      claim("iss", nil),
		"of ours":                           claim("iss", "corridor"),
		"expired":                           claim("exp", now.Add(-time.Second).Unix()),
		"expired long ago":                  claim("exp", now.Add(-1000*time.Hour).Unix()),
		"never expiring":                    claim("exp", nil),
		"expiring in words":                 claim("exp", "tomorrow"),
		"not good yet":                      claim("nbf", now.Add(time.Hour).Unix()),
		"issued in the future":              claim("iat", now.Add(time.Hour).Unix()),
		"issued before all time":            claim("iat", -1e15),
		"issued after all time":             claim("iat", 1e18),
		"an address nobody stands for":      claim("email_verified", false),
		"the same in words":                 claim("email_verified", "false"),
		"no person":                         claim("email", nil),
		"several persons":                   claim("email", []string{f.email, "bob.roy@lakeside.example"}),
		"a person without an address":       claim("email", "Ann Lee"),
		"a person nobody knows":             claim("email", "nobody@lakeside.example"),
		"an id nobody has":                  claim("email", uuid.NewString()),
		"a Kelvin sign":                     claim("email", strings.ReplaceAll(f.email, "k", "\u212a")),
		"a zero byte":                       claim("email", f.email+"\x00"),
		"a long address":                    claim("email", strings.Repeat("a", 1000)+f.email),
		"an unknown clinic":                 claim("corridor_clinic", "Seaside"),
		"somebody else's clinic":            claim("corridor_clinic", "Hillside"),
		"no clinic of many":                 claim("corridor_clinic", nil),
		"an empty clinic":                   claim("corridor_clinic", ""),
		"a clinic with a zero byte":         claim("corridor_clinic", home+"\x00"),
		"a clinic that is a number":         claim("corridor_clinic", 1),
		"an id in another clinic":           f.signed(func(_, c vars) { c["email"], c["corridor_clinic"] = f.subject.String(), "Hillside" }),
		"oversized":                         claim("note", f.oversize),
	}
}

// badOfOurs are bad tokens that look like our own.
func (f *forger) badOfOurs() map[string]string {
	claim := func(name string, value any) string {
		return f.own(func(_, c vars) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		})
	}
	with := func(algorithm string, method jwt.SigningMethod, key any) string {
		return f.token(vars{"alg": algorithm}, f.ownClaims(), method, key)
	}
	good := f.own(func(_, _ vars) {})
	parts := strings.Split(good, ".")
	now := time.Now()
	return map[string]string{
		"a partner key that is none":      "corridor_",
		"a partner key of nobody":         "corridor_" + base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("k"), 48)),
		"none at all":                     "",
		"garbage":                         "garbage",
		"dots":                            "..",
		"garbage of the form":             "YQ.YQ.YQ",
		"encrypted":                       part(vars{"alg": "dir", "enc": "A256GCM"}) + "..AAAA.AAAA.AAAA",
		"no signature":                    with("none", nil, nil),
		"no signature, renamed":           with("nOnE", nil, nil),
		"the signature cut off":           parts[0] + "." + parts[1] + ".",
		"a letter more":                   good + "A",
		"padding":                         good + "=",
		"altered claims":                  parts[0] + "." + part(vars{"sub": uuid.NewString()}) + "." + parts[2],
		"an altered header":               part(vars{"alg": "HS256", "kid": "x"}) + "." + parts[1] + "." + parts[2],
		"a header that is none":           part("not JSON") + "." + parts[1] + "." + parts[2],
		"a header that is a list":         part([]string{"HS256"}) + "." + parts[1] + "." + parts[2],
		"claims that are none":            f.token(vars{"alg": "HS256"}, "not JSON", jwt.SigningMethodHS256, secret),
		"claims that are a list":          f.token(vars{"alg": "HS256"}, []string{"sub"}, jwt.SigningMethodHS256, secret),
		"no secret":                       with("HS256", jwt.SigningMethodHS256, []byte{}),
		"another secret":                  with("HS256", jwt.SigningMethodHS256, bytes.Repeat([]byte("x"), 32)),
		"half of the secret":              with("HS256", jwt.SigningMethodHS256, secret[:16]),
		"a longer hash":                   with("HS512", jwt.SigningMethodHS512, secret),
		"a longer hash under our name":    with("HS256", jwt.SigningMethodHS512, secret),
		"a key of theirs":                 f.token(vars{"alg": "RS256", "kid": f.id}, f.ownClaims(), jwt.SigningMethodRS256, f.key),
		"a key of theirs under our name":  f.token(vars{"alg": "HS256", "kid": f.id}, f.ownClaims(), jwt.SigningMethodRS256, f.key),
		"for another service":             claim("aud", "pharmacy"),
		"for nobody":                      claim("aud", nil),
		"of another issuer":               claim("iss", "pharmacy"),
		"of theirs":                       claim("iss", f.issuer),
		"of no issuer":                    claim("iss", nil),
		"expired":                         claim("exp", now.Add(-time.Second).Unix()),
		"expired, for another service":    f.own(func(_, c vars) { c["exp"], c["aud"] = now.Add(-time.Hour).Unix(), "pharmacy" }),
		"never expiring":                  claim("exp", nil),
		"not good yet":                    claim("nbf", now.Add(time.Hour).Unix()),
		"issued in the future":            claim("iat", now.Add(time.Hour).Unix()),
		"of nobody":                       claim("sub", nil),
		"of nobody's id":                  claim("sub", uuid.Nil.String()),
		"of an id that nobody has":        claim("sub", uuid.NewString()),
		"of a name":                       claim("sub", "ann"),
		"of an id in braces":              claim("sub", "{"+f.subject.String()+"}"),
		"of an id in capital letters":     claim("sub", strings.ToUpper(f.subject.String())),
		"of several":                      claim("sub", []string{f.subject.String()}),
		"of an e-mail address":            f.own(func(_, c vars) { c["sub"], c["email"] = "ann", f.email }),
		"something critical":              f.own(func(h, _ vars) { h["crit"] = []string{"exp"} }),
		"oversized":                       claim("note", f.oversize),
		"an address of somebody instead":  claim("sub", f.email),
		"an algorithm that is a number":   f.own(func(h, _ vars) { h["alg"] = 256 }),
		"an algorithm under another name": f.token(vars{"ALG": "HS256"}, f.ownClaims(), jwt.SigningMethodHS256, secret),
	}
}

// Whatever is wrong with a token, all that can be seen of it is the same.
func TestBadTokensAreRefusedAlike(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	w := newWorldOf(t, provider)
	ann := w.person("Ann Keller", "Front desk")
	w.personOf("Hillside", "Zoe", "MA", "Desk")
	gone := w.person("Bob Roy", "Front desk")
	dismissed := gone.token
	gone.isDismissed()
	f := newForger(t, w, provider)
	f.email, f.subject = ann.email, ann.userID.UUID
	for name, good := range map[string]string{"theirs": f.signed(func(_, _ vars) {}), "ours": f.own(func(_, _ vars) {})} {
		check(t, name, w.asks(ann.at, good, `{ viewer { name } }`, nil).body, `{"data":{"viewer":{"name":"Ann Keller"}}}`)
	}
	left := w.tokenFor(ann.userID.UUID, time.Hour)
	ended := *ann
	ended.token = left
	ended.did("signOut", vars{}, "")
	bad := map[string]string{"ours, of somebody dismissed": dismissed, "ours, signed out": left}
	for name, token := range f.badOfTheirs() {
		bad["theirs, "+name] = token
	}
	for name, token := range f.badOfOurs() {
		bad["ours, "+name] = token
	}
	if len(bad) < 60 {
		t.Fatalf("there are only %d bad tokens", len(bad))
	}
	answers := map[string][]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	names := slices.Sorted(maps.Keys(bad))
	for i := range 4 {
		all.Go(func() {
			for n := i; n < len(names); n += 4 {
				seen := strings.Join([]string{
					w.sends(ann.at, "application/json", "/graphql", bad[names[n]]), w.sends(ann.at, "text/event-stream", "/graphql", bad[names[n]]),
					w.sends(ann.at, "application/json", "/files/"+uuid.NewString()+"/content/owner/1/x", bad[names[n]]),
					w.sends(ann.at, "text/csv", "/directory/staff.csv", bad[names[n]]), w.connects(ann.at, bad[names[n]]),
				}, "\n")
				mu.Lock()
				answers[seen] = append(answers[seen], names[n])
				mu.Unlock()
			}
		})
	}

	all.Wait()

	if len(answers) != 1 {
		for seen, names := range answers {
			t.Errorf("%d tokens (%s) are answered with\n%s", len(names), strings.Join(names[:min(3, len(names))], "; "), seen)
		}
	}
	for seen := range answers {
		check(t, "requests", strings.Count(seen, "401 Unauthorized"), 4)
		check(t, "sockets", strings.Contains(seen, "StatusCode(4403)"), true)
	}
}

// sends is all of the answer to a request but for its time.
func (w *world) sends(at *instance, accept, path, token string) string {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, at.server.URL+path, strings.NewReader(`{"query":"{ viewer { name } }"}`))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {accept}}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	response.Header.Del("Date")
	return fmt.Sprint(response.Status, response.Header, string(body))
}

// connects is all that comes over a socket.
func (w *world) connects(at *instance, token string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, at.server.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.CloseNow()
	payload := vars{}
	if token != "" {
		payload["Authorization"] = "Bearer " + token
	}
	if err := wsjson.Write(ctx, conn, vars{"type": "connection_init", "payload": payload}); err != nil {
		w.t.Fatal(err)
	}
	_, message, err := conn.Read(ctx)
	return fmt.Sprintf("%s %v", message, err)
}
