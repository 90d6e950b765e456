package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ServerOptions say where a server of one's own lives and how it is set up.
type ServerOptions struct {
	// Dir holds everything of the server: the data in pgdata, the log in postgres.log, the socket.
	Dir string
	// Settings are set on top of the usual ones, by their names in postgresql.conf.
	Settings map[string]string
	// Report hears what takes longer than a moment. It may be nil.
	Report func(line string)
}

// Server is a PostgreSQL of this program's own. It listens on a Unix socket only, in a directory
// that nobody else can enter, and ends with the process that started it, however that one ends.
//
// A second process that starts the same directory attaches to the running server and leaves it
// running when it stops. It loses the server when the first process ends: it sees that on Done,
// and may call Start again to become the one who runs it.
type Server struct {
	url    string
	socket string
	owner  *os.File // locked as long as we run the server; nil when attached
	cmd    *exec.Cmd
	exited chan struct{}
	died   chan struct{}

	stop     sync.Once
	stopping chan struct{}
	stopErr  error
}

const (
	superuser = "corridor"
	database  = "corridor"
	port      = "5432" // of the socket's name; nothing listens on the network
)

// settings suit a chat: many short transactions, and a log that says what the server does and
// never what is in a row or a statement.
func (o ServerOptions) settings() []string {
	settings := map[string]string{
		"listen_addresses":                  "",
		"port":                              port,
		"unix_socket_permissions":           "0700",
		"max_connections":                   "200",
		"shared_buffers":                    "128MB",
		"wal_compression":                   "on",
		"jit":                               "off",
		"autovacuum_naptime":                "15s", // plans of the first minutes are for empty tables
		"timezone":                          "UTC",
		"log_timezone":                      "UTC",
		"logging_collector":                 "off",
		"log_destination":                   "stderr",
		"log_min_messages":                  "log", // not ERROR, whose messages quote values
		"log_error_verbosity":               "terse",
		"log_min_error_statement":           "panic",
		"log_min_duration_statement":        "-1",
		"log_statement":                     "none",
		"log_parameter_max_length":          "0",
		"log_parameter_max_length_on_error": "0",
	}
	maps.Copy(settings, o.Settings)
	var args []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

func (o ServerOptions) report(format string, args ...any) {
	if o.Report != nil {
		o.Report(fmt.Sprintf(format, args...))
	}
}

// DirectoryError means that the directory has to be made right, or another chosen.
type DirectoryError struct{ error }

// Unwrap is for errors.Is.
func (e DirectoryError) Unwrap() error { return e.error }

func (o ServerOptions) data() string { return filepath.Join(o.Dir, "pgdata") }

// Start returns a server that answers, with the data in options.Dir. It makes the directory and an
// empty database the first time, attaches when another process runs the server already, and
// recovers what a crash left. An existing directory is never deleted or made anew.
func Start(ctx context.Context, options ServerOptions) (*Server, error) {
	server, err := start(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL in %s: %w", options.Dir, err)
	}
	return server, nil
}

func start(ctx context.Context, o ServerOptions) (*Server, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if err := o.checkDir(); err != nil {
		return nil, DirectoryError{err}
	}
	if err := makeDir(o.Dir); err != nil {
		return nil, err
	}
	owner, err := os.OpenFile(filepath.Join(o.Dir, "owner"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		free, err := tryLock(owner)
		if err != nil {
			return nil, errors.Join(err, owner.Close())
		}
		if free {
			server, err := o.run(ctx, owner)
			if err != nil {
				return nil, errors.Join(err, owner.Close())
			}
			return server, nil
		}
		if running, ok := o.running(); ok && running.status == "ready" && running.answers() {
			owner.Close()
			o.report("PostgreSQL is running in %s already, using that one", o.Dir)
			return attach(running), nil
		}
		if err := pause(ctx, poll); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for the process that is starting it: %w", err), owner.Close())
		}
	}
}

// run starts the server for whoever holds the lock on owner.
func (o ServerOptions) run(ctx context.Context, owner *os.File) (*Server, error) {
	as, err := serverAccount(o.data())
	if err != nil {
		return nil, err
	}
	if err := as.reach(o.Dir); err != nil {
		return nil, DirectoryError{err}
	}
	bin, err := findBinaries(ctx, o, as)
	if err != nil {
		return nil, err
	}
	if err := o.initialise(ctx, bin, as); err != nil {
		return nil, err
	}
	if err := as.own(o.data()); err != nil {
		return nil, err
	}
	socket, err := o.socketDir(as)
	if err != nil {
		return nil, err
	}
	if err := o.endOrphan(ctx, socket); err != nil {
		return nil, err
	}
	s := &Server{url: serverURL(socket, port), socket: socket, owner: owner, died: make(chan struct{}), stopping: make(chan struct{})}
	// What a killed server leaves (its pid file, processes that are just noticing) makes the next
	// one refuse for a moment.
	_, leftovers := o.running()
	for giveUp := time.Now().Add(15 * time.Second); ; {
		refused := s.launch(ctx, o, bin, socket, as)
		if refused == nil {
			break
		}
		if !leftovers || time.Now().After(giveUp) || ctx.Err() != nil {
			return nil, refused
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, refused
		}
	}
	go s.watch()
	return s, nil
}

// launch starts postgres and waits until it is ready.
func (s *Server) launch(ctx context.Context, o ServerOptions, bin, socket string, as *account) error {
	logName := filepath.Join(o.Dir, "postgres.log")
	if info, err := os.Stat(logName); err == nil && info.Size() > 10<<20 {
		_ = os.Rename(logName, logName+".1")
	}
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	args := append([]string{"-D", o.data(), "-k", socket}, o.settings()...)
	s.cmd = command(context.WithoutCancel(ctx), as, filepath.Join(bin, "postgres"), args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	dieWithParent(s.cmd.SysProcAttr)
	s.exited = make(chan struct{})
	launched := make(chan error, 1)
	go func() {
		// The kernel's "when the parent dies" means the thread that forked.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		launched <- err
		if err == nil {
			_ = s.cmd.Wait()
			close(s.exited)
		}
	}()
	if err := <-launched; err != nil {
		return err
	}
	for {
		if now, ok := o.running(); ok && now.pid == s.cmd.Process.Pid && now.status == "ready" {
			return nil
		}
		select {
		case <-s.exited:
			said, _ := io.ReadAll(io.NewSectionReader(log, begin, 1<<20))
			return fmt.Errorf("it gave up: %s (more in %s)", lastLines(said), logName)
		default:
		}
		if err := pause(ctx, poll); err != nil {
			s.interrupt(context.WithoutCancel(ctx), 5*time.Second)
			return fmt.Errorf("it was not ready in time, see %s: %w", logName, err)
		}
	}
}

// URL is where the database is.
func (s *Server) URL() string { return s.url }

// Done is closed when the server ended and Stop was not called.
func (s *Server) Done() <-chan struct{} { return s.died }

// Stop ends all sessions and the server, and returns when it is down. An attached server goes on.
// When ctx ends first the server is stopped hard, which loses nothing but makes the next start
// slower.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		close(s.stopping)
		if s.owner == nil {
			return
		}
		if !s.interrupt(ctx, 0) {
			s.stopErr = fmt.Errorf("stop PostgreSQL: it was stopped hard and will recover at the next start: %w", ctx.Err())
		}
		_ = os.Remove(s.socket)
		s.owner.Close()
	})
	return s.stopErr
}

// interrupt asks the server to end and, when ctx is over or the time (if any) up, makes it.
func (s *Server) interrupt(ctx context.Context, within time.Duration) (orderly bool) {
	if within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	_ = s.cmd.Process.Signal(os.Interrupt) // a "fast shutdown"
	select {
	case <-s.exited:
		return true
	case <-ctx.Done():
	}
	_ = s.cmd.Process.Signal(syscall.SIGQUIT) // an "immediate" one
	select {
	case <-s.exited:
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	return false
}

func (s *Server) watch() {
	select {
	case <-s.exited:
	case <-s.stopping:
		return
	}
	select {
	case <-s.stopping:
	default:
		close(s.died)
	}
}

func attach(to instance) *Server {
	s := &Server{url: serverURL(to.socket, to.port), died: make(chan struct{}), stopping: make(chan struct{})}
	go func() {
		look := time.NewTicker(time.Second)
		defer look.Stop()
		for to.answers() {
			select {
			case <-look.C:
			case <-s.stopping:
				return
			}
		}
		close(s.died)
	}()
	return s
}

// instance is what the server writes about itself into postmaster.pid.
type instance struct {
	pid                  int
	port, socket, status string
}

func (o ServerOptions) running() (instance, bool) {
	content, err := os.ReadFile(filepath.Join(o.data(), "postmaster.pid"))
	if err != nil {
		return instance{}, false
	}
	lines := append(strings.Split(string(content), "\n"), make([]string, 8)...)
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	return instance{pid: pid, port: lines[3], socket: lines[4], status: strings.TrimSpace(lines[7])}, err == nil
}

func (i instance) answers() bool {
	conn, err := net.Dial("unix", filepath.Join(i.socket, ".s.PGSQL."+i.port))
	if err != nil { // a full queue is an answer too
		return !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED)
	}
	conn.Close()
	return true
}

// endOrphan stops a server whose process is gone (we hold its lock) but which did not notice yet.
// It asks only what answers on the socket: the pid alone may be anybody's by now.
func (o ServerOptions) endOrphan(ctx context.Context, socket string) error {
	orphan, ok := o.running()
	if !ok || !orphan.answers() {
		return nil
	}
	if orphan.socket != socket {
		return fmt.Errorf("another PostgreSQL (pid %d, socket in %s) that was not started here is using the data; stop it first", orphan.pid, orphan.socket)
	}
	o.report("waiting for the PostgreSQL of an earlier run to end")
	process, err := os.FindProcess(orphan.pid)
	if err != nil {
		return err
	}
	_ = process.Signal(os.Interrupt)
	for orphan.answers() {
		if err := pause(ctx, poll); err != nil {
			return fmt.Errorf("wait for the PostgreSQL of an earlier run (pid %d): %w", orphan.pid, err)
		}
	}
	return nil
}

func serverURL(socket, port string) string {
	query := url.Values{"host": {socket}, "port": {port}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: query.Encode()}).String()
}

// command runs one of the server's programs under the server's account, in a process group of its
// own so that Ctrl-C reaches us alone, and we stop it in order.
func command(ctx context.Context, as *account, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/" // the account may not see where we are
	cmd.Env = as.env()
	cmd.SysProcAttr = as.attributes()
	return cmd
}

// output runs a program that must not go on without us.
func output(cmd *exec.Cmd) ([]byte, error) {
	runtime.LockOSThread() // as in launch
	defer runtime.UnlockOSThread()
	dieWithParent(cmd.SysProcAttr)
	return cmd.CombinedOutput()
}

const poll = 5 * time.Millisecond

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func lastLines(out []byte) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte("; ")))
}
