package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"
	"github.com/vektah/gqlparser/v2/ast"

	"corridor/graph/generated"
	"corridor/internal/auth"
	"corridor/internal/budget"
	"corridor/internal/chat"
	"corridor/internal/courtesy"
	"corridor/internal/transfer"
)

// complexityLimit bounds the fields that an operation can make the server resolve: a list counts
// its fields once for each item that it may have.
const complexityLimit = 25_000

// Options are what the API needs.
type Options struct {
	Chat *chat.Service
	// Door knows who is asking.
	Door   *auth.Door
	Logger *slog.Logger
	// CursorKey seals cursors in which names stand. All instances must have the same.
	CursorKey []byte
	// Links makes the addresses of files.
	Links transfer.Links
	// AllowedOrigin tells which pages may use the API; those of its own host if it is nil.
	AllowedOrigin func(*http.Request) bool
	// Limits bound each operation; DefaultLimits if they are zero.
	Limits Limits
	// Budgets bound what a person or a key asks in a minute; without them nobody is bounded.
	Budgets *budget.Budgets
	// Courtesy is that of the process; without it large queries have turns of their own.
	Courtesy *courtesy.Courtesy
}

// Handler serves the API over HTTP, WebSocket and Server-Sent Events at one address.
type Handler struct {
	http.Handler
	open   *carriers
	fanOut *fanOut
	seal   seal
}

// Describe implements prometheus.Collector.
func (h *Handler) Describe(to chan<- *prometheus.Desc) {
	h.open.Describe(to)
	h.fanOut.responses.Describe(to)
}

// Collect implements prometheus.Collector: what the connections of subscriptions do.
func (h *Handler) Collect(to chan<- prometheus.Metric) {
	h.open.Collect(to)
	h.fanOut.responses.Collect(to)
}

// Drain closes all that subscriptions go over so that clients come back, to another instance or
// after the restart, and returns when they are gone or ctx ends.
func (h *Handler) Drain(ctx context.Context) error { return h.open.Drain(ctx) }

// NewHandler returns the API.
func NewHandler(options Options) (*Handler, error) {
	allowed := options.AllowedOrigin
	if allowed == nil {
		allowed, _ = auth.AllowedOrigin(nil)
	}
	if options.Limits == (Limits{}) {
		options.Limits = DefaultLimits
	}
	if options.Budgets == nil {
		options.Budgets = budget.New(budget.Options{})
	}
	if options.Courtesy == nil {
		options.Courtesy = courtesy.New()
	}
	seal, err := newSeal(options.CursorKey)
	if err != nil {
		return nil, err
	}
	resolvers := &resolver{chat: options.Chat, logger: options.Logger, seal: seal, links: options.Links, fanOut: newFanOut(options.Chat)}
	documents := newDocuments(options.Chat)
	all := &surfaces{
		whole: generated.NewExecutableSchema(generated.Config{}).Schema(),
		execute: func(name string, schema *ast.Schema) graphql.GraphExecutor {
			return newExecutor(options, resolvers, documents, name, schema)
		},
		made: map[string]*surface{},
	}
	door := &door{options, all}
	watched := newSessions(options.Chat, options.Logger)
	open := newCarriers(drainWindow)
	socket := newSocket(socketOptions{
		Open:          open,
		Logger:        options.Logger,
		AllowedOrigin: allowed,
		ClientAddress: options.Door.ClientAddress,
		Authenticate: func(ctx context.Context, payload transport.InitPayload, from netip.Addr) (context.Context, time.Time, error) {
			token, _ := auth.FromRequest(&http.Request{Header: http.Header{"Authorization": {payload.Authorization()}}})
			s, err := door.signIn(ctx, token, from)
			if err != nil {
				return ctx, time.Time{}, err
			}
			watched.watch(ctx, s)
			return context.WithValue(ctx, sessionKey{}, s), s.expires, nil
		},
	})
	transports := &transports{fault: presenter(options.Logger), ways: []graphql.Transport{
		socket,
		&eventStreams{open: open, watch: watched.watch, logger: options.Logger, ping: 15 * time.Second, writeTimeout: 10 * time.Second},
		transport.GET{},
		posts{},
	}}
	browser := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) { return allowed(r), nil },
		AllowedMethods:             []string{http.MethodGet, http.MethodPost},
		AllowedHeaders:             []string{"Authorization", "Content-Type"},
		ExposedHeaders:             []string{"RateLimit", "RateLimit-Policy", "Retry-After"},
		MaxAge:                     600,
	})
	guarded := jsonOnly(door.signedIn(transports))
	return &Handler{open: open, fanOut: resolvers.fanOut, seal: seal, Handler: browser.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private, no-store") // also to GET with a hash, for which others keep answers
		if !allowed(r) {
			refuse(w, http.StatusForbidden, refusal(codeForbiddenOrigin, "Pages of this origin may not use this API."))
			return
		}
		if upgrade := r.Header.Get("Upgrade"); upgrade != "" && !strings.EqualFold(upgrade, "websocket") {
			// Nothing else is spoken here. Clients that offer HTTP/2 are content without it.
			r = r.Clone(r.Context())
			r.Header.Del("Upgrade")
		}
		guarded.ServeHTTP(w, r)
	}))}, nil
}

// newExecutor returns what answers the operations of a surface.
func newExecutor(options Options, resolvers *resolver, documents *documents, name string, schema *ast.Schema) graphql.GraphExecutor {
	exec := executor.New(generated.NewExecutableSchema(generated.Config{Schema: schema, Resolvers: resolvers, Complexity: fieldCosts()}))
	exec.Use(entrance{})
	exec.Use(fetching{documents, name}) // the limits judge what is fetched, too
	options.Limits.Use(exec)
	valid, order := documents.peoples, graphql.HandlerExtension(precedence{options.Courtesy})
	if !strings.HasPrefix(name, people) {
		valid, order = documents.keys, turns{options.Courtesy}
	}
	exec.SetQueryCache(validated{valid, name})
	exec.SetErrorPresenter(presenter(options.Logger))
	exec.SetRecoverFunc(func(ctx context.Context, panicked any) error {
		// Over a socket it is sent as it is returned here. The value of a panic may hold anything.
		return presenter(options.Logger)(ctx, fmt.Errorf("panic (%T): %s", panicked, debug.Stack()))
	})
	exec.Use(extension.Introspection{})
	exec.Use(extension.FixedComplexityLimit(complexityLimit, complexity.WithIgnoreFields(onceAPage(schema))))
	exec.Use(cashier{})
	exec.Use(keeping{documents, name})
	exec.Use(order)
	exec.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
		if does(ctx, ast.Query) {
			ctx = chat.OnlyReads(ctx)
		}
		ctx = scoped(ctx)
		actor(ctx) // now, for introspection asks nobody who they are
		return next(ctx)
	})
	exec.AroundRootFields(func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
		if does(ctx, ast.Mutation) {
			// Each sees what the one before it did.
			ctx = scoped(ctx)
		}
		return next(ctx)
	})
	exec.AroundResponses(func(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
		if !does(ctx, ast.Subscription) {
			return next(ctx)
		}
		if nobodyIn(ctx) != nil {
			return next(ctx)
		}
		response := next(scoped(ctx))
		if response != nil && failed(response) {
			// Shown as it is the event would be lost to the client; resumed, it comes again.
			endSession(ctx, closeTryAgain, "Try again later")
		}
		return response
	})
	return exec
}

// transports are the ways in which operations come.
type transports struct {
	// ways are in the order in which they are asked whether a request is theirs.
	ways []graphql.Transport
	// fault says of a fault of ours what may be said.
	fault graphql.ErrorPresenterFunc
}

// ServeHTTP answers a request by the surface of who is asking. Who that is sockets find out later.
func (t *transports) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = r.WithContext(graphql.StartOperationTrace(r.Context()))
	var exec graphql.GraphExecutor
	if s := sessionOf(r.Context()); s != nil {
		exec = s.surface.exec
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			if panicked == http.ErrAbortHandler { //nolint:errorlint // it is thrown as it is
				panic(panicked)
			}
			refuse(w, http.StatusInternalServerError, t.fault(r.Context(), fmt.Errorf("panic (%T): %s", panicked, debug.Stack())))
		}
	}()
	for _, transport := range t.ways {
		if transport.Supports(r) {
			transport.Do(w, r, exec)
			return
		}
	}
	refuse(w, http.StatusBadRequest, refusal(codeBadRequest, "Send the request as application/json."))
}

// does tells whether what is answered is an operation of this kind. A document that is refused never
// becomes one.
func does(ctx context.Context, kind ast.Operation) bool {
	operation := graphql.GetOperationContext(ctx).Operation
	return operation != nil && operation.Operation == kind
}

// failed tells whether a fault of ours is in a response.
func failed(response *graphql.Response) bool {
	for _, err := range response.Errors {
		if code := err.Extensions["code"]; code == codeInternal || code == codeUnavailable {
			return true
		}
	}
	return false
}

// signInFirst is all that anybody hears who is not signed in.
const signInFirst = "Sign in first: send a valid token as Authorization: Bearer."

// A door lets people and programs in.
type door struct {
	Options
	surfaces *surfaces
}

// signedIn lets through who has a valid token or key. Sockets say who they are in their first message.
func (d *door) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			next.ServeHTTP(w, r)
			return
		}
		token, _ := auth.FromRequest(r)
		s, err := d.signIn(r.Context(), token, d.Door.ClientAddress(r))
		switch {
		case errors.Is(err, errUnavailable):
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, refusal(codeUnavailable, notAvailable))
		case err != nil:
			w.Header().Set("WWW-Authenticate", `Bearer realm="corridor"`)
			refuse(w, http.StatusUnauthorized, refusal(codeUnauthenticated, signInFirst))
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, s)))
		}
	})
}

// signIn begins the session of a token or key. Its errors are errUnavailable, or anything else for
// whoever is not let in.
func (d *door) signIn(ctx context.Context, token string, from netip.Addr) (*session, error) {
	asked := time.Now()
	actor, err := d.Door.WhoBears(ctx, token, from)
	switch {
	case errors.Is(err, chat.ErrSignedOut):
		return nil, err
	case err != nil:
		return nil, unavailable(ctx, d.Options, err)
	}
	s := newSession(d.Chat, actor, asked)
	s.surface, s.account = d.surfaces.of(actor), transfer.AccountOf(actor, d.Budgets)
	return s, nil
}

func unavailable(ctx context.Context, options Options, err error) error {
	if !abandoned(ctx) {
		options.Logger.ErrorContext(ctx, "nobody can sign in", "error", chat.Describe(err))
	}
	return errUnavailable
}
