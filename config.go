package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"corridor/graph"
	"corridor/internal/auth"
	"corridor/internal/blob"
	"corridor/internal/clamav"
	"corridor/internal/media"
	"corridor/internal/postgres"
)

// A usageError is about what the caller asked for: nothing was begun.
type usageError struct{ error }

func wrong(message string, arguments ...any) error {
	return usageError{fmt.Errorf(message, arguments...)}
}

// The settings are flags, and environment variables of the same names. An empty variable is one
// that is not set.

// databaseSettings say where the chat is kept.
type databaseSettings struct {
	DatabaseURL string `env:"DATABASE_URL" placeholder:"URL" help:"PostgreSQL to keep everything in. Without one Corridor runs a PostgreSQL of its own in the data directory. Prefer the variable: others on this machine can see flags."`
	DataDir     string `env:"CORRIDOR_DATA_DIR" placeholder:"DIR" help:"Where Corridor's own PostgreSQL and the token key are kept, if there is no database URL (${dataDir})."`
}

func (d *databaseSettings) check() error {
	if d.DatabaseURL != "" {
		if _, err := postgres.Connector(d.DatabaseURL); err != nil {
			return wrong("DATABASE_URL (--database-url): %w", err)
		}
		return nil
	}
	if d.DataDir == "" {
		d.DataDir = defaultDataDir()
	}
	if d.DataDir == "" {
		return wrong("there is no home directory to keep data in: name a directory in CORRIDOR_DATA_DIR (--data-dir), or a database in DATABASE_URL")
	}
	dir, err := filepath.Abs(d.DataDir)
	if err != nil {
		return wrong("CORRIDOR_DATA_DIR (--data-dir): %w", err)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return wrong("CORRIDOR_DATA_DIR (--data-dir) is %s, which is no directory: name another", dir)
	}
	d.DataDir = dir
	return nil
}

// own tells whether the database is Corridor's own.
func (d *databaseSettings) own() bool { return d.DatabaseURL == "" }

// exists tells whether there is a database, as far as that can be seen from outside.
func (d *databaseSettings) exists() bool {
	_, err := os.Stat(filepath.Join(d.DataDir, "pgdata"))
	return !d.own() || !errors.Is(err, fs.ErrNotExist)
}

// defaultDataDir is where data is kept if nobody said where: of a program that was built in its
// checkout there, else with the other data of this user.
func defaultDataDir() string {
	if dir := checkout(); dir != "" && passable(dir) {
		return filepath.Join(dir, "data")
	}
	if os.Geteuid() == 0 {
		return "/var/lib/corridor"
	}
	if home := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, "corridor")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "share", "corridor")
}

// checkout is the source folder that this program was built in and stands in, if it does.
func checkout() string {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return ""
	}
	dir := filepath.Dir(filepath.Dir(program))
	module, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !strings.HasPrefix(string(module), "module corridor\n") {
		return ""
	}
	return dir
}

// passable tells whether the user that PostgreSQL runs as can come to dir. It does not run as
// root, and root's home is closed to everybody else.
func passable(dir string) bool {
	if os.Geteuid() != 0 {
		return true
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// keySettings say what tokens are signed with.
type keySettings struct {
	TokenKey string `env:"CORRIDOR_TOKEN_KEY" placeholder:"KEY" help:"Secret of at least 32 bytes that tokens are signed with, the same for all instances: openssl rand -base64 48. Needed with a database URL; else it is made once and kept in the data directory. Prefer the variable: others on this machine can see flags."`
}

func (k *keySettings) check(d databaseSettings) error {
	if k.TokenKey == "" {
		if !d.own() {
			return wrong("with DATABASE_URL all instances need one CORRIDOR_TOKEN_KEY (--token-key): make one with `openssl rand -base64 48`")
		}
		return nil
	}
	if _, err := auth.NewKey([]byte(k.TokenKey)); err != nil {
		return wrong("CORRIDOR_TOKEN_KEY (--token-key): %w", err)
	}
	return nil
}

// open returns the key that was given, or the one in the data directory, which is made if need be.
func (k *keySettings) open(d databaseSettings) (*auth.Key, error) {
	if k.TokenKey != "" {
		return auth.NewKey([]byte(k.TokenKey))
	}
	name := filepath.Join(d.DataDir, "token.key")
	secret, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(name); err == nil {
			secret, err = os.ReadFile(name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the token key: %w", err)
	}
	key, err := auth.NewKey([]byte(strings.TrimSpace(string(secret))))
	if err != nil {
		return nil, fmt.Errorf("%s holds no key: put the one that it held back, or remove it to have a new one made, which ends all sessions", name)
	}
	return key, nil
}

// makeKey puts a new key into a file that is whole from the first moment, unless another process
// was faster.
func makeKey(name string) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".token.key-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // the link stays
	secret := make([]byte, 48)
	_, _ = rand.Read(secret) // it never fails
	_, err = fmt.Fprintln(file, base64.StdEncoding.EncodeToString(secret))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// fileSettings say where files are kept, and which are taken.
type fileSettings struct {
	Files     string `env:"CORRIDOR_FILES" placeholder:"PLACE" help:"Where files are kept: a directory, or s3://bucket/prefix?endpoint=https://s3.example.org&region=us-east-1 with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. All instances must have the same. By default it is the folder files in the data directory."`
	FileSize  int    `env:"CORRIDOR_FILE_SIZE" default:"100" placeholder:"MB" help:"How many megabytes a file may have, 1 to 500 (${default})."`
	FileTypes string `env:"CORRIDOR_FILE_TYPES" placeholder:"TYPE,…" help:"Media types of files to take, instead of the usual documents, pictures, scans, recordings and films."`
	ClamAV    string `name:"clamav" env:"CORRIDOR_CLAMAV" placeholder:"ADDRESS" help:"ClamAV daemon that searches files for malware before anybody gets them: unix:///run/clamav/clamd.ctl or tcp://127.0.0.1:3310."`

	NewFiles bool `env:"CORRIDOR_NEW_FILES" help:"Take an empty place for files, or one from before, although this database has files in another one: these are lost to it until that is taken back."`

	types   media.Types
	scanner *clamav.Daemon
}

func (f *fileSettings) check(d databaseSettings) (err error) {
	if f.Files == "" {
		dir := d.DataDir
		if dir == "" {
			dir = defaultDataDir()
		}
		if dir == "" {
			return wrong("there is no home directory to keep files in: name a place in CORRIDOR_FILES (--files)")
		}
		f.Files = filepath.Join(dir, "files")
	}
	if err := blob.Check(f.Files); err != nil {
		return wrong("CORRIDOR_FILES (--files): %w", err)
	}
	if strings.HasPrefix(f.Files, "~") {
		return wrong("CORRIDOR_FILES (--files) is %s: write the home directory in full, which a shell has not put in here", f.Files)
	}
	if info, err := os.Stat(f.Files); err == nil && !info.IsDir() {
		return wrong("CORRIDOR_FILES (--files) is %s, which is no directory: name another", f.Files)
	}
	if f.FileSize < 1 || f.FileSize > 500 {
		return wrong("CORRIDOR_FILE_SIZE (--file-size) is %d: it must be from 1 to 500 megabytes", f.FileSize)
	}
	f.types = media.DefaultTypes()
	if f.FileTypes != "" {
		if f.types, err = media.ParseTypes(f.FileTypes); err != nil {
			return wrong("CORRIDOR_FILE_TYPES (--file-types): %w", err)
		}
	}
	if f.ClamAV != "" {
		if f.scanner, err = clamav.New(f.ClamAV); err != nil {
			return wrong("CORRIDOR_CLAMAV (--clamav): %w", err)
		}
	}
	return nil
}

// budgetSettings say how much may be asked.
type budgetSettings struct {
	PersonBudget int `env:"CORRIDOR_PERSON_BUDGET" default:"15000" placeholder:"POINTS" help:"How many points' worth of operations a person may ask for a minute, of all instances together: 250, which the largest operation costs, or more, or 0 for no limit (${default})."`
	KeyBudget    int `env:"CORRIDOR_KEY_BUDGET" default:"12000" placeholder:"POINTS" help:"The same for a partner key (${default})."`
}

// maxBudget is more than a server can do in a minute.
const maxBudget = 1_000_000_000

func (b *budgetSettings) check() error {
	for _, budget := range []struct {
		setting string
		points  int
	}{{"CORRIDOR_PERSON_BUDGET (--person-budget)", b.PersonBudget}, {"CORRIDOR_KEY_BUDGET (--key-budget)", b.KeyBudget}} {
		if budget.points != 0 && (budget.points < graph.MaxCost || budget.points > maxBudget) {
			return wrong("%s is %d: it must be from %d to %d points a minute, or 0 for no limit", budget.setting, budget.points, graph.MaxCost, maxBudget)
		}
	}
	return nil
}

// serverSettings are of the server alone.
type serverSettings struct {
	Listen    string        `env:"CORRIDOR_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where to answer (${default}). Without a host it is all addresses of this machine."`
	Origins   string        `env:"CORRIDOR_ORIGINS" placeholder:"ORIGIN,…" help:"Origins of web pages that may use the API, besides its own, with * for a part: https://chat.example.org,https://*.example.net."`
	Proxies   string        `name:"trusted-proxies" env:"CORRIDOR_TRUSTED_PROXIES" placeholder:"NETWORK,…" help:"Networks of proxies in front of it, as 10.0.0.0/8: whom they name in X-Forwarded-For is who asks. Partner keys may be bound to networks."`
	Webhooks  string        `name:"webhook-networks" env:"CORRIDOR_WEBHOOK_NETWORKS" placeholder:"NETWORK,…" help:"Networks that webhooks may reach besides the public Internet, as 10.0.0.0/8, there also by http. Whoever manages webhooks can make the server send requests into them."`
	NATSURL   string        `name:"nats-url" env:"CORRIDOR_NATS_URL" placeholder:"URL,…" help:"NATS servers that carry hints between many instances, instead of NOTIFY in PostgreSQL. Hints hold numbers only."`
	Replica   string        `name:"replica-url" env:"CORRIDOR_REPLICA_URL" placeholder:"URL" help:"A streaming standby of the database in DATABASE_URL, which answers queries as far as it keeps up. Prefer the variable: others on this machine can see flags."`
	LogLevel  string        `env:"CORRIDOR_LOG_LEVEL" default:"info" placeholder:"LEVEL" help:"What to log: debug, info, warn or error (${default}). Logs go to standard error, as JSON unless that is a terminal."`
	DrainTime time.Duration `env:"CORRIDOR_DRAIN_TIME" default:"10s" placeholder:"TIME" help:"How long stopping may take: requests are finished and sockets closed within it (${default})."`
	Operators string        `name:"operations-listen" env:"CORRIDOR_OPERATIONS_LISTEN" placeholder:"ADDRESS" help:"Where operators may take profiles, an address of this machine alone: 127.0.0.1:6060 or unix:///run/corridor/operations.sock. By default nowhere."`
	Demo      *bool         `env:"CORRIDOR_DEMO" negatable:"" help:"Make the demo clinic when there is no clinic yet, and let whoever comes sign in as its people. Without a database URL this is the default."`

	origins []string
	proxies []netip.Prefix
	// webhooks are the networks that webhooks may reach.
	webhooks   []netip.Prefix
	operations operationsAddress
	level      slog.Level
}

func (s *serverSettings) check(d databaseSettings) error {
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil || !isPort(port) || strings.ContainsAny(host, " /") {
		return wrong("CORRIDOR_LISTEN (--listen) is %q: it must be a host and a port, such as 127.0.0.1:8080, [::1]:8080 or :8080", s.Listen)
	}
	switch strings.ToLower(s.LogLevel) {
	case "debug", "info", "warn", "error":
		_ = s.level.UnmarshalText([]byte(s.LogLevel)) // it is one of them
	default:
		return wrong("CORRIDOR_LOG_LEVEL (--log-level) is %q: it must be debug, info, warn or error", s.LogLevel)
	}
	if s.DrainTime < time.Second || s.DrainTime > 10*time.Minute {
		return wrong("CORRIDOR_DRAIN_TIME (--drain-time) is %s: it must be from 1s to 10m", s.DrainTime)
	}
	for server := range strings.SplitSeq(s.NATSURL, ",") {
		at, err := url.Parse(strings.TrimSpace(server))
		if s.NATSURL != "" && (err != nil || at.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, at.Scheme)) {
			return wrong("CORRIDOR_NATS_URL (--nats-url) can't be read: it looks like nats://user:password@one.example:4222,nats://two.example:4222")
		}
	}
	if s.Replica != "" {
		if _, err := postgres.Connector(s.Replica); err != nil {
			return wrong("CORRIDOR_REPLICA_URL (--replica-url): %w", err)
		}
		if d.own() {
			return wrong("CORRIDOR_REPLICA_URL (--replica-url) needs a DATABASE_URL (--database-url): Corridor's own PostgreSQL has no standby")
		}
	}
	for origin := range strings.SplitSeq(s.Origins, ",") {
		if origin = strings.TrimSpace(origin); origin == "" {
			continue
		}
		if !validOrigin(origin) {
			return wrong("CORRIDOR_ORIGINS (--origins) holds %q: an origin looks like https://chat.example.org, without anything behind the host and port, or has * for a part, as in https://*.example.org", origin)
		}
		s.origins = append(s.origins, origin)
	}
	if s.proxies, err = networks(s.Proxies); err != nil {
		return wrong("CORRIDOR_TRUSTED_PROXIES (--trusted-proxies) %w", err)
	}
	if s.webhooks, err = networks(s.Webhooks); err != nil {
		return wrong("CORRIDOR_WEBHOOK_NETWORKS (--webhook-networks) %w", err)
	}
	if s.operations, err = readOperationsAddress(s.Operators); err != nil {
		return wrong("CORRIDOR_OPERATIONS_LISTEN (--operations-listen) %w", err)
	}
	return nil
}

func isPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

// networks reads a list of networks.
func networks(list string) (read []netip.Prefix, err error) {
	for network := range strings.SplitSeq(list, ",") {
		if network = strings.TrimSpace(network); network == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(network)
		if err != nil || prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("holds %q: a network looks like 10.0.0.0/8 or 10.1.2.3/32", network)
		}
		read = append(read, prefix.Masked())
	}
	return read, nil
}

func validOrigin(pattern string) bool {
	scheme, host, _ := strings.Cut(pattern, "://")
	if scheme == "" || host == "" || strings.ContainsAny(host, "/?#@ ") {
		return false
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return false
	}
	_, err := url.Parse("https://" + strings.NewReplacer("*", "x", "[", "", "]", "").Replace(host))
	return err == nil
}

// demo tells whether to make the demo clinic: nobody wants it in a database of their own unless
// they say so.
func (s *serverSettings) demo(d databaseSettings) bool {
	if s.Demo != nil {
		return *s.Demo
	}
	return d.own()
}

// logger writes to standard error, which holds nothing that people wrote, nor who they are.
func (s *serverSettings) logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: s.level}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}

// dropEmpty forgets variables of ours that are set to nothing.
func dropEmpty() {
	for _, setting := range os.Environ() {
		name, value, _ := strings.Cut(setting, "=")
		if value == "" && (name == "DATABASE_URL" || strings.HasPrefix(name, "CORRIDOR_")) {
			_ = os.Unsetenv(name)
		}
	}
}
