// Corridor is the staff chat of clinics: a GraphQL API over HTTP and WebSocket, and the commands
// that run it. Corridor --help lists them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/alecthomas/kong"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"corridor/graph"
	"corridor/internal/auth"
	"corridor/internal/blob"
	"corridor/internal/budget"
	"corridor/internal/chat"
	"corridor/internal/courtesy"
	"corridor/internal/demo"
	"corridor/internal/eventlog"
	"corridor/internal/postgres"
	"corridor/internal/scim"
	"corridor/internal/transfer"
	"corridor/internal/webhook"
	"corridor/web"
)

// The ways to end.
const (
	exitFailed = 1
	exitUsage  = 2
)

type commands struct {
	Serve          serveCommand           `cmd:"" default:"withargs" help:"Run the server until it is told to stop. This is what happens without a command."`
	Token          tokenCommand           `cmd:"" help:"Print a bearer token for a person of a clinic, as their host application would get it."`
	Follow         followCommand          `cmd:"" help:"Print what happens for a person, live, a line of JSON for each event."`
	Roster         rosterCommands         `cmd:"" help:"The people and waiting rooms of a clinic."`
	Clinic         clinicCommands         `cmd:"" help:"What a clinic decides for itself."`
	Key            keyCommands            `cmd:"" help:"The keys of partners' programs."`
	ServiceAccount serviceAccountCommands `cmd:"" help:"The accounts that partners' programs act as."`
	Documents      documentCommands       `cmd:"" help:"The documents of GraphQL that keys may be bound to."`
	Session        sessionCommands        `cmd:"" help:"The sessions of a person."`
	Schema         schemaCommand          `cmd:"" help:"Print the schema of the API, as servers publish it at /schema.graphqls and /schema.json."`
	Migrate        migrateCommand         `cmd:"" help:"Bring the database up to date and say what was done. The server does it at each start."`
}

// streams are what commands read from and write to.
type streams struct {
	stdin          io.Reader
	stdout, stderr *os.File
}

func main() {
	dropEmpty()
	err := run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "corridor:", sentence(err))
	if usage := (usageError{}); errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

func run(arguments []string, streams streams) error {
	parser, err := kong.New(&commands{}, kong.Name("corridor"),
		kong.Description("The chat of a clinic's staff. Settings are flags, or environment variables where one is named."),
		kong.Writers(streams.stdout, streams.stderr), kong.Vars{"dataDir": defaultDataDir()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return err
	}
	command, err := parser.Parse(arguments)
	if err != nil {
		return wrong("%w (see %s --help)", err, commandOf(arguments, err))
	}
	return command.Run(streams)
}

// commandOf is the command that arguments are wrong for, as far as they name one.
func commandOf(arguments []string, err error) string {
	if parsed := new(kong.ParseError); errors.As(err, &parsed) && parsed.Context.Selected() != nil {
		path := parsed.Context.Selected().FullPath()
		if len(arguments) == 0 || strings.HasPrefix(path+" ", "corridor "+arguments[0]+" ") {
			return path
		}
	}
	return "corridor"
}

// sentence is what a person is told of an error.
func sentence(err error) string {
	if refused := new(chat.Error); errors.As(err, &refused) {
		return refused.Message
	}
	return err.Error()
}

func isNotFound(err error) bool {
	refused := new(chat.Error)
	return errors.As(err, &refused) && refused.Code == chat.CodeNotFound
}

type serveCommand struct {
	serverSettings
	databaseSettings
	keySettings
	oidcSettings
	fileSettings
	budgetSettings
}

// Run serves until a signal comes, and then stops in order. A second signal ends at once.
func (c *serveCommand) Run(streams streams) error {
	for _, check := range []func() error{
		func() error { return c.serverSettings.check(c.databaseSettings) }, c.databaseSettings.check, func() error { return c.keySettings.check(c.databaseSettings) },
		c.oidcSettings.check, func() error { return c.fileSettings.check(c.databaseSettings) }, c.budgetSettings.check,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	logger := c.logger()
	slog.SetDefault(logger) // libraries that log by themselves do it our way
	defer runtime.KeepAlive(collectRarely(logger))
	told, forget := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer forget()
	context.AfterFunc(told, forget) // the next signal finds nobody who holds it up

	if dir := checkout(); dir != "" && !passable(dir) && c.own() && c.DataDir == defaultDataDir() {
		logger.Info(fmt.Sprintf("PostgreSQL does not run as root, and its user may not enter %s: the data is in %s", dir, c.DataDir))
	}
	for _, origin := range c.origins {
		if _, host, _ := strings.Cut(origin, "://"); strings.Trim(host, "*:") == "" {
			logger.Warn("any page in the web may use the API with the token of a person who opens it", "origin", origin)
		}
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return cannotListen(c.Listen, "CORRIDOR_LISTEN (--listen)", err)
	}
	operators, err := c.operations.listen()
	if err != nil {
		return err
	}
	s := &server{settings: c, logger: logger, stdout: streams.stdout, address: listener.Addr().(*net.TCPAddr)}
	return s.serve(told, listener, operators)
}

// rareCollections is how much memory may be used up between two garbage collections, in hundredths of what is in use: each is felt
// by the messages that are under way, and what is in use is little. It is counted as if mostBallast were in use as well, but not more than
// one of so many parts of the memory there may be: where a few megabytes are in use, partners who read would bring on a collection every few seconds.
const (
	rareCollections = 400
	mostBallast     = 32 << 20
	partsForBallast = 16
)

// collectRarely lets garbage lie as long as memory is at hand: beyond half of what the machine or the container has it is collected more
// often. GOGC and GOMEMLIMIT go before. The ballast that it returns is for as long as the server runs; nothing is ever written to it, so that it is only
// counted, and takes no memory.
func collectRarely(logger *slog.Logger) (ballast []byte) {
	if os.Getenv("GOMEMLIMIT") == "" {
		os.Unsetenv("GOMEMLIMIT") //nolint:errcheck // it is a name; set to nothing, it would be taken for no limit
	}
	if _, err := memlimit.Set(memlimit.WithRatio(0.5), memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem))); err != nil {
		logger.Debug("how much memory there is can't be found out", "error", err)
	}
	if os.Getenv("GOGC") == "" {
		ballast = make([]byte, min(mostBallast, debug.SetMemoryLimit(-1)/partsForBallast))
		debug.SetGCPercent(rareCollections)
	}
	return ballast
}

func cannotListen(address, setting string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("another program listens at %s: end it, or choose another address with %s", address, setting)
	case errors.Is(err, syscall.EACCES) && !filepath.IsAbs(address):
		return fmt.Errorf("this user may not listen at %s: choose a port above 1023 with %s", address, setting)
	}
	return fmt.Errorf("%s: %w", setting, err)
}

// server is the running server.
type server struct {
	settings *serveCommand
	logger   *slog.Logger
	stdout   io.Writer
	address  *net.TCPAddr

	database *database
	// events are the connections of the event log and the budgets: what people do must not hold up what they hear.
	events *sqlx.DB
	// api is there when the server is ready, and before it all else that is not there from the beginning.
	api         atomic.Pointer[graph.Handler]
	transfers   atomic.Pointer[http.Handler]
	directories atomic.Pointer[http.Handler]
	rosters     atomic.Pointer[http.Handler]
	demo        atomic.Pointer[http.Handler]
	metrics     atomic.Pointer[prometheus.Registry]
	// redirects is the origin that downloads are redirected to, or "".
	redirects atomic.Pointer[string]
	draining  atomic.Bool
}

// logConnections are enough for the parts of the event log and a crowd that catches up.
const logConnections = 8

// serve answers from the first moment on, if only that it is starting; operators too, if there is a listener for them. It runs
// until it is told to stop or one of its parts fails.
func (s *server) serve(told context.Context, listener, operators net.Listener) error {
	// What requests run on lasts until they are finished, and the parts until nobody needs them.
	requests, cutOff := context.WithCancel(context.Background())
	defer cutOff()
	life, end := context.WithCancel(context.Background())
	defer end()
	parts, life := errgroup.WithContext(life)
	front := &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      time.Minute, // of answers; sockets have deadlines of their own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnContext:       bounded,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	parts.Go(func() error {
		if err := front.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	back := newOperations(s.logger)
	defer back.end()
	if operators != nil {
		s.logger.Info("operators may take profiles", "address", operators.Addr().String())
		parts.Go(func() error {
			if err := back.Serve(operators); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve operators: %w", err)
			}
			return nil
		})
	}
	starting, abandon := context.WithCancel(life)
	defer context.AfterFunc(told, abandon)()
	err := s.start(starting, parts, life)
	if err == nil {
		select {
		case <-told.Done():
		case <-life.Done():
		}
	}

	stopping, cancel := context.WithTimeout(context.Background(), s.settings.DrainTime)
	defer cancel()
	began := s.api.Load() != nil || told.Err() != nil
	if began {
		s.drain(stopping, front, back)
	}
	front.Close()
	back.Close()
	cutOff()
	end()
	if failed := parts.Wait(); failed != nil && !errors.Is(failed, context.Canceled) {
		err = failed
	} else if told.Err() != nil {
		err = nil // whatever was interrupted
	}
	if s.events != nil {
		s.events.Close()
	}
	if s.database != nil {
		if stopped := s.database.close(stopping); stopped != nil {
			s.logger.Warn("the database did not end in order", "error", stopped)
		}
	}
	if began {
		s.logger.Info("stopped")
	}
	return err
}

// sendBuffer is how much of what a client does not read waits for it in the system: by itself Linux
// takes megabytes, and it would be minutes until the deadline of a write notices.
const sendBuffer = 128 << 10

func bounded(ctx context.Context, conn net.Conn) context.Context {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // it works without
	}
	return ctx
}

// start opens the database, wires what the server consists of and sets it going.
func (s *server) start(ctx context.Context, parts *errgroup.Group, life context.Context) error {
	began := time.Now()
	key, err := s.open(ctx)
	if err != nil {
		return err
	}
	carrier := eventlog.ByPostgres(s.events, s.database.url)
	if s.settings.NATSURL != "" {
		if carrier, err = eventlog.ByNATS(s.settings.NATSURL, key.Derive("hints")); err != nil {
			return wrong("CORRIDOR_NATS_URL (--nats-url): %w", err)
		}
	}
	log := eventlog.New(s.events, carrier, key.Derive("event cursor"), s.logger)
	service := chat.New(s.database.DB, log, s.logger)
	replica, err := s.openReplica(ctx)
	if err != nil {
		return err
	}
	service.UseReplica(replica)
	if err := s.openFiles(ctx, service); err != nil {
		return err
	}
	guard := webhook.NewGuard(s.settings.webhooks)
	if err := service.UseWebhooks(chat.Webhooks{Key: key.Derive("webhook secret"), Reaches: guard.Reaches, Plain: guard.Plain()}); err != nil {
		return err
	}
	sender := webhook.New(service, guard, s.logger)
	allowed, err := auth.AllowedOrigin(s.settings.origins)
	if err != nil {
		return wrong("CORRIDOR_ORIGINS (--origins): %w", err)
	}
	links := transfer.NewLinks(key.Derive("file link"))
	oidc, err := s.settings.oidcSettings.open(ctx, s.database.DB, s.logger)
	if err != nil {
		return err
	}
	verifier := auth.Verifier(key)
	if oidc != nil {
		verifier = oidc.Beside(key)
	}
	door := auth.NewDoor(service, verifier, s.settings.proxies, s.logger)
	courtesy := courtesy.New()
	budgets := budget.New(budget.Options{DB: s.events, Person: s.settings.PersonBudget, Key: s.settings.KeyBudget, Logger: s.logger})
	api, err := graph.NewHandler(graph.Options{
		Chat: service, Door: door, CursorKey: key.Derive("list cursor"), Logger: s.logger, AllowedOrigin: allowed, Links: links, Budgets: budgets, Courtesy: courtesy,
	})
	if err != nil {
		return err
	}
	sharing := transfer.Options{Chat: service, Door: door, Links: links, Logger: s.logger, AllowedOrigin: allowed, Budgets: budgets, SealCursor: api.SealCursor, Courtesy: courtesy}
	transfers, err := transfer.NewHandler(sharing)
	if err != nil {
		return err
	}
	rosters, err := scim.NewHandler(scim.Options{Chat: service, Authenticate: door.WhoAsks, Logger: s.logger, AllowedOrigin: allowed, Budgets: budgets})
	if err != nil {
		return err
	}
	if err := s.makeDemo(ctx, service); err != nil {
		return err
	}
	clinics, err := service.Clinics(ctx)
	if err != nil {
		return err
	}
	parts.Go(func() error { return log.Run(life) })
	parts.Go(func() error { return budgets.Run(life) })
	parts.Go(func() error { return service.KeepPresence(life) })
	parts.Go(func() error { return s.purge(life, service) })
	parts.Go(func() error { return service.ScanFiles(life) })
	parts.Go(func() error { return service.ReadWebhooks(life) })
	parts.Go(func() error { return sender.Run(life) })
	parts.Go(func() error { return s.database.keep(life) })
	if oidc != nil {
		parts.Go(func() error { return oidc.Run(life) })
	}
	metrics := prometheus.NewRegistry()
	if replica != nil {
		parts.Go(func() error { return replica.Run(life) })
		metrics.MustRegister(replica)
	}
	metrics.MustRegister(log, api, budgets, sender, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewDBStatsCollector(s.database.DB.DB, "requests"), collectors.NewDBStatsCollector(s.events.DB, "events"))
	if s.settings.demo(s.settings.databaseSettings) {
		signIn := newDemoSignIn(service, key, s.logger, allowed)
		s.demo.Store(&signIn)
	}
	s.metrics.Store(metrics)
	directories := transfer.NewDirectoryHandler(sharing)
	s.directories.Store(&directories)
	s.rosters.Store(&rosters)
	s.transfers.Store(&transfers)
	s.api.Store(api)
	s.logger.Info("ready", "address", s.address.String(), "after", time.Since(began).Round(time.Millisecond).String())
	s.welcome(clinics)
	return nil
}

// open opens the database, migrated, and the key.
func (s *server) open(ctx context.Context) (*auth.Key, error) {
	report := func(line string) { s.logger.Info(line) }
	var err error
	if s.database, err = openDatabase(ctx, s.settings.databaseSettings, report); err != nil {
		return nil, err
	}
	if s.events, err = postgres.Open(ctx, s.database.url); err != nil {
		return nil, err
	}
	s.events.SetMaxOpenConns(logConnections)
	s.events.SetMaxIdleConns(logConnections)
	if err := s.database.migrate(ctx, report); err != nil {
		return nil, err
	}
	return s.settings.keySettings.open(s.settings.databaseSettings)
}

// openReplica opens the replica, if there is to be one.
func (s *server) openReplica(ctx context.Context) (*postgres.Replica, error) {
	if s.settings.Replica == "" {
		return nil, nil
	}
	replica, err := postgres.OpenReplica(ctx, s.database.DB, s.settings.Replica, s.logger)
	if errors.Is(err, postgres.ErrAnotherDatabase) {
		return nil, wrong("CORRIDOR_REPLICA_URL (--replica-url) names another database: it must be a streaming standby of the server in DATABASE_URL, with the same database name")
	}
	return replica, err
}

// openFiles opens the place where files are kept.
func (s *server) openFiles(ctx context.Context, service *chat.Service) error {
	store, err := blob.Open(ctx, s.settings.Files, blob.Options{})
	if err != nil {
		return fmt.Errorf("CORRIDOR_FILES (--files): %w", err)
	}
	redirects, err := blob.Origin(ctx, store)
	if err != nil {
		return fmt.Errorf("CORRIDOR_FILES (--files): %w", err)
	}
	s.redirects.Store(&redirects)
	service.UseFiles(chat.Files{Store: store, MaxSize: int64(s.settings.FileSize) * chat.Megabyte, Types: s.settings.types, Scanner: s.settings.scanner})
	switch err := service.ClaimFiles(ctx, s.settings.NewFiles); {
	case errors.Is(err, chat.ErrAnotherStore):
		return wrong("CORRIDOR_FILES (--files) is %s, which has the files of another database: name an empty place, or the one of this database", s.settings.Files)
	case errors.Is(err, chat.ErrFilesElsewhere):
		return wrong("CORRIDOR_FILES (--files) is %s, but the files of this database are in another place: name that. If they were moved here, corridor.identity must be moved with them; if they are lost for good, or this is their place from before, start once with CORRIDOR_NEW_FILES=true (--new-files)", s.settings.Files)
	case err != nil:
		return fmt.Errorf("CORRIDOR_FILES (--files): %w", err)
	}
	if s.settings.scanner != nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := s.settings.scanner.Ping(ctx); err != nil {
			s.logger.Warn("the ClamAV daemon does not answer: until it does nobody gets a file that it has not searched", "error", err)
		}
	}
	return nil
}

// makeDemo makes the demo clinic if that is wanted and there is no other.
func (s *server) makeDemo(ctx context.Context, service *chat.Service) error {
	clinics, err := service.Clinics(ctx)
	if err != nil || !s.settings.demo(s.settings.databaseSettings) {
		return err
	}
	// As long as this file is there the demo clinic is not whole.
	unfinished := filepath.Join(s.database.dir, "demo.unfinished")
	_, interrupted := os.Stat(unfinished)
	if !s.settings.own() {
		interrupted = os.ErrNotExist
	}
	if len(clinics) > 0 && interrupted != nil {
		return nil
	}
	s.logger.Info("making the demo clinic")
	if s.settings.own() {
		if err := os.WriteFile(unfinished, nil, 0o600); err != nil {
			return err
		}
	}
	if err := demo.Make(ctx, service); err != nil {
		return err
	}
	if s.settings.own() {
		return os.Remove(unfinished)
	}
	return nil
}

// purge erases what clinics do not want to keep any longer, and what is over, every hour.
func (s *server) purge(ctx context.Context, service *chat.Service) error {
	every := time.NewTicker(time.Hour)
	defer every.Stop()
	for {
		purged, err := service.Purge(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.logger.Warn("deleted groups are not purged", "error", chat.Describe(err))
		case purged > 0:
			s.logger.Info("purged deleted groups", "groups", purged)
		}
		removed, err := service.SweepFiles(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.logger.Warn("files that are over are not removed", "error", chat.Describe(err))
		}
		if removed > 0 {
			s.logger.Info("removed files", "files", removed)
		}
		if err := service.ForgetSessions(ctx); err != nil && ctx.Err() == nil {
			s.logger.Warn("ended sessions are not forgotten", "error", chat.Describe(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// drain stops accepting, lets requests finish and sends sockets elsewhere. It leaves some of the
// time to what must end after that.
func (s *server) drain(ctx context.Context, front *http.Server, back *operations) {
	s.draining.Store(true)
	s.logger.Info("stopping", "within", s.settings.DrainTime.String())
	ctx, cancel := context.WithTimeout(ctx, s.settings.DrainTime*7/10)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		if api := s.api.Load(); api != nil && api.Drain(ctx) != nil {
			s.logger.Warn("some sockets did not close in time")
		}
	})
	all.Go(func() {
		if front.Shutdown(ctx) != nil {
			s.logger.Warn("some requests did not finish in time")
		}
	})
	all.Go(func() {
		if back.Shutdown(ctx) != nil {
			s.logger.Warn("some profiles did not finish in time")
		}
	})
	all.Wait()
}

// routes are all addresses of the server.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/graphql", func(w http.ResponseWriter, r *http.Request) {
		api := s.api.Load()
		if api == nil {
			starting(w)
			return
		}
		api.ServeHTTP(w, r)
	})
	mux.HandleFunc(transfer.Path, onceThere(&s.transfers))
	mux.HandleFunc(transfer.DirectoryPath, onceThere(&s.directories))
	mux.HandleFunc(scim.Path+"/", onceThere(&s.rosters))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if reason := s.unready(r.Context()); reason != "" {
			say(w, http.StatusServiceUnavailable, reason)
			return
		}
		say(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		metrics := s.metrics.Load()
		if metrics == nil {
			say(w, http.StatusServiceUnavailable, "starting")
			return
		}
		promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 10 * time.Second}).ServeHTTP(w, r)
	})
	mux.Handle(sdlPath, web.NewDocument("text/plain; charset=utf-8", graph.SDL))
	mux.Handle(introspectionPath, web.NewDocument("application/json", graph.Introspection))
	client := web.NewHandler(web.Options{StoreOrigin: s.storeOrigin})
	mux.Handle("/", client)
	mux.HandleFunc(demoPath, func(w http.ResponseWriter, r *http.Request) {
		if !s.settings.demo(s.settings.databaseSettings) {
			client.ServeHTTP(w, r) // which knows no such address
			return
		}
		onceThere(&s.demo)(w, r)
	})
	return s.guard(mux)
}

// onceThere serves what is made while the server starts.
func onceThere(made *atomic.Pointer[http.Handler]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		handler := made.Load()
		if handler == nil {
			starting(w)
			return
		}
		(*handler).ServeHTTP(w, r)
	}
}

// storeOrigin is the origin that downloads are redirected to. That of a bucket is known when it was opened.
func (s *server) storeOrigin() (origin string, known bool) {
	if origin := s.redirects.Load(); origin != nil {
		return *origin, true
	}
	return "", blob.IsDirectory(s.settings.Files)
}

// unready says in a word why the server does not do its work, if it does not.
func (s *server) unready(ctx context.Context) string {
	switch {
	case s.draining.Load():
		return "draining"
	case s.api.Load() == nil:
		return "starting"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	found := make(chan string, 1)
	go func() {
		switch missing, err := s.database.pending(ctx); {
		case err != nil:
			found <- "database"
		case missing > 0:
			found <- "migrations"
		default:
			found <- ""
		}
	}()
	select {
	case reason := <-found:
		return reason
	case <-ctx.Done(): // a database that is silent holds lib/pq longer than that
		return "database"
	}
}

// guard puts on every answer what browsers must know, and keeps a panic from taking what it says
// into the log.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch panicked := recover(); panicked {
			case nil:
			case http.ErrAbortHandler:
				panic(panicked)
			default:
				s.logger.Error("a request failed", "panic", fmt.Sprintf("%T", panicked), "stack", string(debug.Stack()))
				transfer.Refuse(w, http.StatusInternalServerError, "INTERNAL", "Something went wrong on our side. Please try again.")
			}
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func say(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, word+"\n")
}

func starting(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	transfer.Refuse(w, http.StatusServiceUnavailable, "RESTARTING", "The server is starting. Please try again.")
}

// welcome tells the person at the terminal where to go.
func (s *server) welcome(clinics []chat.Clinic) {
	host := s.address.IP.String()
	if s.address.IP.IsUnspecified() {
		host = "localhost"
	}
	site := "http://" + net.JoinHostPort(host, strconv.Itoa(s.address.Port))
	if web.Included() {
		fmt.Fprintf(s.stdout, "The chat is at %s/ and the explorer of the API at %[1]s/explorer\n", site)
	} else {
		fmt.Fprintln(s.stdout, "The chat and the explorer are not in this program: make run builds them in where Node.js 20.19 or later is installed.")
	}
	fmt.Fprintf(s.stdout, "Corridor answers at %s/graphql (Ctrl-C stops it).\n", site)
	token, settings := s.tokenCommand()
	isDemo := func(c chat.Clinic) bool { return c.Name == demo.Clinic }
	switch {
	case len(clinics) == 0:
		fmt.Fprintf(s.stdout, "There is no clinic yet. A roster makes one%s: %s roster import FILE --clinic NAME\n", settings, os.Args[0])
		return
	case !s.settings.demo(s.settings.databaseSettings) || !slices.ContainsFunc(clinics, isDemo):
		fmt.Fprintf(s.stdout, "A token for somebody of the roster%s: %s --email EMAIL\n", settings, token)
		return
	}
	fmt.Fprintf(s.stdout, `
The demo clinic, %s, is there to look around in. In another terminal%s, as %s (or %s):

  TOKEN=$(%s --email %[3]s)
  curl -s %[6]s/graphql -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
    -d '{"query":"{ viewer { name unreadMessageCount conversations { nodes { unreadCount lastMessage { text sender { name } } } } } }"}'

`, demo.Clinic, settings, demo.Introduced[0], demo.Introduced[1], token, site)
}

// tokenCommand is the command that makes tokens for this server, and what must be set for it, in words.
func (s *server) tokenCommand() (command, settings string) {
	command = os.Args[0] + " token"
	switch given := s.settings; {
	case !given.own():
		return command, ", with DATABASE_URL and CORRIDOR_TOKEN_KEY set as here"
	case given.TokenKey != "":
		settings = ", with CORRIDOR_TOKEN_KEY set as here"
	}
	if dir := s.settings.DataDir; dir != defaultDataDir() {
		command += " --data-dir '" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
	}
	return command, settings
}
