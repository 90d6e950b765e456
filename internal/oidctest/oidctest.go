// Package oidctest runs an OpenID Connect provider for tests: discovery, published keys, the
// authorization code flow with PKCE, and tokens that are signed with keys that rotate.
package oidctest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"
)

// Client is the host application, and so the audience of the tokens.
const Client = "host-application"

const (
	redirect = "http://localhost/signed-in"
	password = "correct horse battery staple"
)

// Provider is an issuer with its people.
type Provider struct {
	t       testing.TB
	Issuer  string
	storage *providerStorage
	router  http.Handler
	address string
	server  *http.Server
	fetches atomic.Int64
}

// Start starts a provider that ends with the test.
func Start(t testing.TB) *Provider {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	people := &people{byName: map[string]*storage.User{}}
	p := &Provider{t: t, address: listener.Addr().String(), Issuer: "http://" + listener.Addr().String()}
	p.storage = &providerStorage{
		Storage: storage.NewStorageWithClients(people, map[string]*storage.Client{Client: storage.NativeClient(Client, redirect)}),
		people:  people, claims: map[string]map[string]any{},
	}
	p.Rotate()
	provider, err := op.NewProvider(&op.Config{CryptoKey: [32]byte{1}, CodeMethodS256: true}, p.storage, op.StaticIssuer(p.Issuer),
		op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	router := http.NewServeMux()
	router.Handle("POST /login/username", op.NewIssuerInterceptor(provider.IssuerFromRequest).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := r.FormValue("authRequestID")
		if err := p.storage.CheckUsernamePassword(r.FormValue("username"), r.FormValue("password"), request); err != nil {
			http.Error(w, "This is somebody else.", http.StatusForbidden)
			return
		}
		http.Redirect(w, r, op.AuthCallbackURL(provider)(r.Context(), request), http.StatusFound)
	}))
	router.Handle("/", provider)
	p.router = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/") || r.URL.Path == "/keys" {
			p.fetches.Add(1)
		}
		router.ServeHTTP(w, r)
	})
	p.serve(listener)
	t.Cleanup(p.Leave)
	return p
}

func (p *Provider) serve(listener net.Listener) {
	p.server = &http.Server{Handler: p.router, ReadHeaderTimeout: time.Minute}
	go p.server.Serve(listener) //nolint:errcheck // until it is closed
}

// Leave takes the provider away: nobody listens at its address.
func (p *Provider) Leave() { _ = p.server.Close() }

// Return brings it back to its address.
func (p *Provider) Return() {
	p.t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.serve(listener)
}

// Fetches is how often its discovery document or its keys were asked for.
func (p *Provider) Fetches() int64 { return p.fetches.Load() }

// Tokens are what a sign-in brings.
type Tokens struct{ Access, ID string }

// SignIn signs a person in with a browser, who has this e-mail address and whose tokens say this besides.
func (p *Provider) SignIn(email string, claims map[string]any) Tokens {
	p.t.Helper()
	p.storage.knows(email, claims)
	config := &oauth2.Config{
		ClientID: Client, RedirectURL: redirect, Scopes: []string{oidc.ScopeOpenID, oidc.ScopeEmail},
		Endpoint: oauth2.Endpoint{AuthURL: p.Issuer + "/authorize", TokenURL: p.Issuer + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams},
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	proof, state := oauth2.GenerateVerifier(), rand.Text()
	page := p.redirected(browser.Get(config.AuthCodeURL(state, oauth2.S256ChallengeOption(proof))))
	form := page.Query()
	form.Set("username", email)
	form.Set("password", password)
	back := p.redirected(browser.PostForm(p.Issuer+page.Path, form))
	code := p.redirected(browser.Get(back.String())).Query()
	if code.Get("state") != state {
		p.t.Fatalf("the provider came back with %v", code)
	}
	got, err := config.Exchange(p.t.Context(), code.Get("code"), oauth2.VerifierOption(proof))
	if err != nil {
		p.t.Fatal(err)
	}
	id, _ := got.Extra("id_token").(string)
	return Tokens{Access: got.AccessToken, ID: id}
}

// redirected is where an answer sends the browser.
func (p *Provider) redirected(response *http.Response, err error) *url.URL {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	to, err := response.Location()
	if err != nil {
		p.t.Fatalf("%s answers %s and redirects nowhere", response.Request.URL, response.Status)
	}
	return to
}

// Rotate has the provider sign with a new key, and publish no other.
func (p *Provider) Rotate() {
	p.t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.t.Fatal(err)
	}
	p.storage.mu.Lock()
	defer p.storage.mu.Unlock()
	p.storage.key = key{uuid.NewString(), private}
}

// Key is what it signs with at the moment, for tokens that it would never make.
func (p *Provider) Key() (id string, private *rsa.PrivateKey) {
	p.storage.mu.Lock()
	defer p.storage.mu.Unlock()
	return p.storage.key.id, p.storage.key.private
}

// providerStorage is the storage of the library's example, with people, claims and keys of our own.
type providerStorage struct {
	*storage.Storage
	people *people

	mu     sync.Mutex
	key    key
	claims map[string]map[string]any
}

// knows takes somebody down.
func (s *providerStorage) knows(email string, claims map[string]any) {
	s.people.add(&storage.User{ID: email, Username: email, Password: password, Email: email, EmailVerified: true})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims[email] = claims
}

// said is what tokens say of somebody.
func (s *providerStorage) said(email string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.claims[email])
}

// SigningKey implements op.Storage.
func (s *providerStorage) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, nil
}

// SignatureAlgorithms implements op.Storage.
func (s *providerStorage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

// KeySet implements op.Storage.
func (s *providerStorage) KeySet(context.Context) ([]op.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []op.Key{publicKey{s.key}}, nil
}

// GetClientByClientID implements op.Storage.
func (s *providerStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	found, err := s.Storage.GetClientByClientID(ctx, id)
	return client{found}, err
}

// SetUserinfoFromRequest is what an ID token says.
func (s *providerStorage) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	for name, value := range s.said(request.GetSubject()) {
		info.AppendClaims(name, value)
	}
	return s.Storage.SetUserinfoFromRequest(ctx, info, request, scopes)
}

// GetPrivateClaimsFromScopes is what an access token says.
func (s *providerStorage) GetPrivateClaimsFromScopes(_ context.Context, email, _ string, _ []string) (map[string]any, error) {
	claims := map[string]any{"email": email, "email_verified": true}
	maps.Copy(claims, s.said(email))
	return claims, nil
}

// client gets access tokens that can be verified, and ID tokens that say who.
type client struct{ op.Client }

func (client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

func (client) IDTokenUserinfoClaimsAssertion() bool { return true }

type key struct {
	id      string
	private *rsa.PrivateKey
}

func (k key) ID() string { return k.id }

func (k key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

func (k key) Key() any { return k.private }

type publicKey struct{ key }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }

func (k publicKey) Use() string { return "sig" }

func (k publicKey) Key() any { return &k.private.PublicKey }

// people are who the provider knows.
type people struct {
	mu     sync.Mutex
	byName map[string]*storage.User
}

var _ storage.UserStore = (*people)(nil)

func (p *people) add(user *storage.User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byName[user.Username] = user
}

func (p *people) GetUserByUsername(name string) *storage.User {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byName[name]
}

func (p *people) GetUserByID(id string) *storage.User { return p.GetUserByUsername(id) }

func (p *people) ExampleClientID() string { return Client }
