package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"corridor/internal/chat"
)

// Algorithms are those that tokens of an OpenID Connect issuer may be signed with: who can verify
// one can't make one.
var Algorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

const (
	// keysEvery is how often the keys of an issuer are fetched. New ones are published long before
	// they sign anything, and those that are not known are asked for.
	keysEvery = 15 * time.Minute
	// keysLife is how long they are believed if the issuer is away: a key that was withdrawn must
	// end some time, and nobody has a token that is a week old.
	keysLife = 7 * 24 * time.Hour
	// keysTime bounds one fetch of both documents.
	keysTime = 5 * time.Second
	// keysBytes bounds each of them, and keysAtOnce how many keys are looked at.
	keysBytes  = 512 << 10
	keysAtOnce = 100
	// unknownEvery and unknownBurst bound how often tokens can have the keys fetched anew.
	unknownEvery = 10 * time.Second
	unknownBurst = 3
	// What is fetched again after a failure is so after a pause that doubles.
	shortestPause = time.Second
	longestPause  = time.Minute

	maxEmailBytes  = 320
	maxClinicBytes = 1000
	minModulusBits = 2048
)

// OIDCOptions say whose tokens are believed, and what they must say.
type OIDCOptions struct {
	// Issuer is the address of the issuer, exactly as its tokens have it: https, or http on this machine.
	Issuer string
	// Audience is for whom tokens must be issued.
	Audience string
	// Algorithms are those that may sign; all of Algorithms if there are none.
	Algorithms []string
	// PersonClaim has the person's e-mail address, or their id here; by default it is email.
	PersonClaim string
	// ClinicClaim has the name of their clinic, and may be missing from tokens; by default it is corridor_clinic.
	ClinicClaim string
	// MFAClaim must be MFAValue, or a list that holds it, if it is not empty.
	MFAClaim, MFAValue string

	// Load returns the keys that Save was given last, by any instance, and when they were fetched. There may
	// be none.
	Load func(ctx context.Context) (keys []byte, fetched time.Time, err error)
	Save func(ctx context.Context, keys []byte, fetched time.Time) error
	// Logger hears of keys that can't be had.
	Logger *slog.Logger
	// Client fetches; one that follows no redirects by default.
	Client *http.Client
}

// An OIDC verifies the tokens of one OpenID Connect issuer. It finds the issuer's keys by discovery,
// follows when they are rotated, and goes on with those that it has while the issuer is away.
type OIDC struct {
	options OIDCOptions
	parser  *jwt.Parser
	keys    atomic.Pointer[issuerKeys]
	fetches singleflight.Group
	unknown *rate.Limiter
	// away says that the last fetch failed.
	away atomic.Bool
}

var _ Verifier = (*OIDC)(nil)

// issuerKeys are the keys of an issuer at a time.
type issuerKeys struct {
	find    keyfunc.Keyfunc
	fetched time.Time
}

// NewOIDC makes a verifier, with the keys that were kept. It fetches none: Run does, and Verify when
// it needs them.
func NewOIDC(ctx context.Context, options OIDCOptions) (*OIDC, error) {
	if err := CheckIssuer(options.Issuer); err != nil {
		return nil, err
	}
	if options.Audience == "" {
		return nil, errors.New("an OIDC issuer needs an audience")
	}
	if len(options.Algorithms) == 0 {
		options.Algorithms = Algorithms
	}
	for _, algorithm := range options.Algorithms {
		if !slices.Contains(Algorithms, algorithm) {
			return nil, fmt.Errorf("the algorithm %s is none of %s", algorithm, strings.Join(Algorithms, ", "))
		}
	}
	if options.PersonClaim == "" {
		options.PersonClaim = "email"
	}
	if options.ClinicClaim == "" {
		options.ClinicClaim = "corridor_clinic"
	}
	if options.Client == nil {
		options.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	o := &OIDC{
		options: options,
		parser: jwt.NewParser(
			jwt.WithValidMethods(options.Algorithms),
			jwt.WithIssuer(options.Issuer),
			jwt.WithAudience(options.Audience),
			jwt.WithExpirationRequired(),
			jwt.WithLeeway(clockDifference), // of which the expiry gets nothing, see Verify
			jwt.WithStrictDecoding(),
		),
		unknown: rate.NewLimiter(rate.Every(unknownEvery), unknownBurst),
	}
	kept, fetched, err := options.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the keys of the OIDC issuer: %w", err)
	}
	if len(kept) > 0 {
		if keys, _, err := readKeys(ctx, kept, fetched); err == nil {
			o.keys.Store(keys)
		} else {
			options.Logger.Warn("the kept keys of the OIDC issuer can't be used", "error", err)
		}
	}
	return o, nil
}

// CheckIssuer tells what is wrong with the address of an issuer.
func CheckIssuer(issuer string) error {
	at, err := url.Parse(issuer)
	switch {
	case err != nil || at.Host == "" || at.Opaque != "" || at.RawQuery != "" || at.ForceQuery || at.Fragment != "" || at.User != nil:
		return errors.New("an issuer is an address such as https://sign-in.example.org, without a query")
	case !private(at):
		return errors.New("an issuer that is not on this machine must be reached by https")
	}
	return nil
}

// private tells whether nobody else can read or change what comes from an address.
func private(at *url.URL) bool {
	host := at.Hostname()
	return at.Scheme == "https" || at.Scheme == "http" && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// Run keeps the keys fresh until ctx ends.
func (o *OIDC) Run(ctx context.Context) error {
	pause := shortestPause
	for {
		again := keysEvery
		if err := o.fetch(ctx, func() bool { return true }); ctx.Err() != nil {
			return nil
		} else if err != nil {
			o.options.Logger.Warn("the keys of the OIDC issuer can't be fetched", "error", err)
			again, pause = pause, min(2*pause, longestPause)
		} else {
			pause = shortestPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

// oidcClaims are the claims of a token: those that all have, and all by their names.
type oidcClaims struct {
	jwt.RegisteredClaims
	named map[string]any
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *oidcClaims) UnmarshalJSON(data []byte) error {
	return errors.Join(json.Unmarshal(data, &c.RegisteredClaims), json.Unmarshal(data, &c.named))
}

// Verify believes tokens that the issuer has signed, for this service, and that have not run out. The
// issuer's clock may be a little ahead of ours; how long a token is good is measured by ours alone. Errors
// other than ErrInvalid and ErrExpired mean that the issuer's keys can't be had.
func (o *OIDC) Verify(ctx context.Context, token string) (chat.Credential, error) {
	if len(token) > maxTokenBytes {
		return chat.Credential{}, invalid("it is too long")
	}
	var claims oidcClaims
	var away error
	parsed, err := o.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		key, err := o.keyOf(ctx, t)
		if err != nil && !errors.Is(err, ErrInvalid) {
			away = err
		}
		return key, err
	})
	if away != nil {
		return chat.Credential{}, away
	}
	refused := claims.ExpiresAt != nil && !time.Now().Before(claims.ExpiresAt.Time)
	switch {
	case err == nil && !refused:
		return o.believe(parsed, claims)
	case err == nil, errors.Is(err, jwt.ErrTokenExpired) && // as for our own
		!errors.Is(err, jwt.ErrTokenInvalidIssuer) && !errors.Is(err, jwt.ErrTokenInvalidAudience):
		return chat.Credential{}, ErrExpired
	}
	return chat.Credential{}, invalid(whatIsWrong(err))
}

// believe takes out of a token what it says of its bearer.
func (o *OIDC) believe(token *jwt.Token, claims oidcClaims) (chat.Credential, error) {
	issued, ok := issuedAt(claims.RegisteredClaims)
	switch {
	case !ok:
		return chat.Credential{}, invalid(notIssued)
	case !o.isStrong(claims):
		return chat.Credential{}, invalid("it does not say that more than one proof was asked for, as CORRIDOR_OIDC_MFA demands")
	}
	believed := chat.Credential{Token: nameOf(token), IssuedAt: issued, ExpiresAt: claims.ExpiresAt.Time}
	person, _ := claims.named[o.options.PersonClaim].(string)
	if believed.Subject, ok = subjectOf(person); !ok {
		if believed.Email, ok = emailOf(person); !ok || o.options.PersonClaim == "email" && !isVerified(claims) {
			return chat.Credential{}, invalid("it names nobody by an id, or by an e-mail address that is verified")
		}
	}
	switch clinic := claims.named[o.options.ClinicClaim].(type) {
	case nil:
	case string:
		if clinic == "" || len(clinic) > maxClinicBytes || strings.ContainsRune(clinic, 0) {
			return chat.Credential{}, invalid(noClinic)
		}
		believed.Clinic = clinic
	default:
		return chat.Credential{}, invalid(noClinic)
	}
	return believed, nil
}

// isStrong tells whether a token says that its person was asked for more than one proof, if that is wanted.
func (o *OIDC) isStrong(claims oidcClaims) bool {
	if o.options.MFAClaim == "" {
		return true
	}
	switch said := claims.named[o.options.MFAClaim].(type) {
	case string:
		return said == o.options.MFAValue
	case []any:
		return slices.Contains(said, any(o.options.MFAValue))
	}
	return false
}

// isVerified tells whether the issuer stands for the e-mail address. Many do without saying so.
func isVerified(claims oidcClaims) bool {
	said, ok := claims.named["email_verified"]
	return !ok || said == true || said == "true"
}

// subjectOf is the id of a person. One person, one spelling.
func subjectOf(person string) (uuid.UUID, bool) {
	id, err := uuid.Parse(person)
	if err != nil || id == uuid.Nil || id.String() != person {
		return uuid.Nil, false
	}
	return id, true
}

// emailOf is an e-mail address as rosters have it. Letters beyond ASCII stay as they are: some, such as the Kelvin
// sign, would become those of somebody else.
func emailOf(person string) (string, bool) {
	if len(person) > maxEmailBytes || strings.Count(person, "@") != 1 || strings.ContainsAny(person, "\x00 \t\r\n") {
		return "", false
	}
	return strings.Map(func(letter rune) rune {
		if 'A' <= letter && letter <= 'Z' {
			return letter + ('a' - 'A')
		}
		return letter
	}, person), true
}

// accessTokens are the kinds of tokens that speak for a person: some of an issuer are for other ends, such
// as the notice that somebody signed out.
var accessTokens = []string{"jwt", "at+jwt", "application/at+jwt"}

// keyOf is the key that a token must have been signed with. The error is ErrInvalid if there is none, or
// another if that can't be found out.
func (o *OIDC) keyOf(ctx context.Context, token *jwt.Token) (any, error) {
	if _, ok := token.Header["crit"]; ok {
		return nil, invalid(demanding)
	}
	if kind, ok := token.Header["typ"]; ok {
		if name, _ := kind.(string); !slices.Contains(accessTokens, strings.ToLower(name)) {
			return nil, invalid("it is of a type that speaks for nobody")
		}
	}
	if id, _ := token.Header["kid"].(string); id == "" {
		return nil, invalid("it does not name the key that signed it") // to try all keys would be work for nothing
	}
	key, err := o.knownKey(ctx, token)
	if !errors.Is(err, errUnknown) {
		return key, err
	}
	switch err := o.fetch(ctx, o.unknown.Allow); {
	case errors.Is(err, errTooOften) && o.keys.Load() != nil && !o.away.Load():
		return nil, invalid(unknownKey) // the keys are those of a moment ago
	case err != nil:
		return nil, err
	}
	if key, err = o.knownKey(ctx, token); errors.Is(err, errUnknown) {
		return nil, invalid(unknownKey)
	}
	return key, err
}

const (
	unknownKey = "the issuer has no such key"
	noClinic   = "its clinic is no name"
)

var (
	errUnknown  = errors.New("there is no such key")
	errTooOften = errors.New("the keys of the OIDC issuer could not be had a moment ago")
)

// knownKey finds the key of a token among those that we have. The error is errUnknown or ErrInvalid.
func (o *OIDC) knownKey(ctx context.Context, token *jwt.Token) (any, error) {
	keys := o.keys.Load()
	if keys == nil || time.Since(keys.fetched) > keysLife {
		return nil, errUnknown
	}
	key, err := keys.find.KeyfuncCtx(ctx)(token)
	switch {
	case errors.Is(err, jwkset.ErrKeyNotFound):
		return nil, errUnknown
	case err != nil:
		return nil, invalid("its key is for another algorithm, or another use")
	}
	return key, nil
}

// fetch fetches the keys, once for all who want them at the moment, if it may.
func (o *OIDC) fetch(ctx context.Context, may func() bool) error {
	fetched := o.fetches.DoChan("", func() (_ any, err error) {
		if !may() {
			return nil, errTooOften
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTime)
		defer cancel()
		defer func() {
			if panicked := recover(); panicked != nil { // by what the issuer sent; it would end the process
				o.away.Store(true)
				err = fmt.Errorf("the keys of the OIDC issuer can't be read (%T)", panicked)
			}
		}()
		keys, written, err := o.discover(ctx)
		o.away.Store(err != nil)
		if err != nil {
			return nil, err
		}
		o.keys.Store(keys)
		if err := o.options.Save(ctx, written, keys.fetched); err != nil {
			o.options.Logger.Warn("the keys of the OIDC issuer can't be kept", "error", err)
		}
		return nil, nil
	})
	select {
	case result := <-fetched:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// discover fetches the document that says where the keys are, and then them.
func (o *OIDC) discover(ctx context.Context) (keys *issuerKeys, written []byte, err error) {
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	body, err := o.get(ctx, strings.TrimSuffix(o.options.Issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, nil, errors.New("the discovery document is no JSON object")
	}
	if document.Issuer != o.options.Issuer {
		return nil, nil, errors.New("the discovery document is of another issuer: the setting must be exactly what it says")
	}
	at, err := url.Parse(document.Keys)
	if err != nil || at.Host == "" || !private(at) {
		return nil, nil, errors.New("the discovery document does not say where the keys are, at an address of https")
	}
	if body, err = o.get(ctx, document.Keys); err != nil {
		return nil, nil, err
	}
	return readKeys(ctx, body, time.Now())
}

func (o *OIDC) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := o.options.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", address, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, keysBytes+1))
	if err == nil && len(body) > keysBytes {
		err = fmt.Errorf("%s has more than %d bytes", address, keysBytes)
	}
	return body, err
}

// readKeys reads a set of keys, and writes down those of them that verify. Keys of other kinds are left out.
func readKeys(ctx context.Context, set []byte, fetched time.Time) (keys *issuerKeys, written []byte, err error) {
	var given struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(set, &given); err != nil {
		return nil, nil, errors.New("the keys are no JSON object")
	}
	var usable []jwkset.JWK
	for _, raw := range given.Keys[:min(len(given.Keys), keysAtOnce)] {
		key, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err == nil && verifies(key) {
			usable = append(usable, key)
		}
	}
	if len(usable) == 0 {
		return nil, nil, errors.New("none of the keys can be used: they need a kid, and at least 2048 bits if they are RSA")
	}
	storage := jwkset.NewMemoryStorage()
	if err := storage.KeyReplaceAll(ctx, usable); err != nil {
		return nil, nil, err
	}
	find, err := keyfunc.New(keyfunc.Options{Storage: storage})
	if err != nil {
		return nil, nil, err
	}
	all, err := storage.Marshal(ctx)
	if err == nil {
		written, err = json.Marshal(all)
	}
	return &issuerKeys{find, fetched}, written, err
}

// verifies tells whether a key is one that signatures may be verified with.
func verifies(key jwkset.JWK) bool {
	said := key.Marshal()
	if said.KID == "" || said.USE != "" && said.USE != jwkset.UseSig || len(said.KEYOPS) > 0 && !slices.Contains(said.KEYOPS, jwkset.KeyOpsVerify) {
		return false
	}
	switch public := key.Key().(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= minModulusBits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// Beside verifies the tokens of the issuer, and those that are signed with a secret of ours. What a token
// says of its algorithm decides whose it would be, and is believed by nobody.
func (o *OIDC) Beside(key *Key) Verifier { return beside{o, key} }

type beside struct {
	oidc *OIDC
	key  *Key
}

// Verify implements Verifier.
func (b beside) Verify(ctx context.Context, token string) (chat.Credential, error) {
	var header map[string]any
	written, _, _ := strings.Cut(token[:min(len(token), maxTokenBytes)], ".")
	decoded, err := base64.RawURLEncoding.DecodeString(written)
	if err == nil {
		err = json.Unmarshal(decoded, &header)
	}
	if err != nil || header["alg"] == jwt.SigningMethodHS256.Alg() {
		return b.key.Verify(ctx, token)
	}
	return b.oidc.Verify(ctx, token)
}
