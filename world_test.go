package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"corridor/internal/demo"
)

// patience is how long anything may take on a busy machine.
const patience = time.Minute

var (
	// binary is the program under test.
	binary     string
	buildFlags = []string{"build", "-buildvcs=auto"}
	// workshop is a directory that PostgreSQL's user may enter also if we are root.
	workshop string
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if workshop, err = os.MkdirTemp("", "corridor-server-"); err == nil {
			defer os.RemoveAll(workshop)
			err = os.Chmod(workshop, 0o711)
		}
		if err == nil {
			binary = filepath.Join(workshop, "corridor")
			build := exec.Command("go", append(buildFlags, "-o", binary, ".")...)
			build.Stderr = os.Stderr
			err = build.Run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// emptyDir is a data directory that does not exist yet.
func emptyDir(t testing.TB) string {
	t.Helper()
	parent, err := os.MkdirTemp(workshop, "home-")
	if err == nil {
		err = os.Chmod(parent, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	return filepath.Join(parent, "data")
}

var first struct {
	sync.Once
	dir string
}

// demoDir is a data directory in which a server ran once: with the demo clinic.
func demoDir(t testing.TB) string {
	t.Helper()
	first.Do(func() {
		dir := filepath.Join(workshop, "first")
		server := starts(t, dir)
		if code := server.ends(syscall.SIGTERM); code != 0 {
			t.Fatalf("the first server ended with %d", code)
		}
		first.dir = dir
	})
	if first.dir == "" {
		t.Fatal("the first server did not start")
	}
	dir := emptyDir(t)
	err := os.Mkdir(dir, 0o711)
	if err == nil {
		err = os.CopyFS(filepath.Join(dir, "pgdata"), os.DirFS(filepath.Join(first.dir, "pgdata")))
	}
	if err == nil {
		err = os.Chmod(filepath.Join(dir, "pgdata"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// environment is ours without settings of Corridor, and with these.
func environment(settings ...string) []string {
	var clean []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "CORRIDOR_") && !strings.HasPrefix(setting, "DATABASE_URL=") {
			clean = append(clean, setting)
		}
	}
	return append(clean, settings...)
}

// said is what a command left.
type said struct {
	stdout, stderr string
	code           int
}

// runs runs a command to its end.
func runs(t testing.TB, settings []string, arguments ...string) said {
	t.Helper()
	return runsWith(t, "", settings, arguments...)
}

func runsWith(t testing.TB, stdin string, settings []string, arguments ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, binary, arguments...)
	command.Env = environment(settings...)
	command.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatalf("corridor %v: %v", arguments, err)
	}
	return said{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

func in(dir string) []string { return []string{"CORRIDOR_DATA_DIR=" + dir} }

// process is a server that runs.
type process struct {
	t       testing.TB
	command *exec.Cmd
	dir     string
	// url is where it answers.
	url    string
	ended  chan struct{}
	waited error
	output *output
}

// output collects what a process writes to standard error.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// starts starts a server and waits until it is ready.
func starts(t testing.TB, dir string, settings ...string) *process {
	t.Helper()
	return startsProgram(t, binary, dir, settings...)
}

func startsProgram(t testing.TB, program, dir string, settings ...string) *process {
	t.Helper()
	p := &process{t: t, dir: dir, ended: make(chan struct{}), output: &output{}}
	p.command = exec.Command(program)
	p.command.Env = environment(append([]string{"CORRIDOR_DATA_DIR=" + dir, "CORRIDOR_LISTEN=127.0.0.1:0"}, settings...)...)
	p.command.Stderr = p.output
	// Killed, it closes this end and not that of a shell.
	stdout, err := p.command.StdoutPipe()
	if err == nil {
		err = p.command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if _, at, ok := strings.Cut(lines.Text(), "Corridor answers at "); ok {
				address <- strings.Fields(at)[0]
			}
		}
	}()
	go func() {
		<-read
		p.waited = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the server ended (%v, %v) and said:\n%s", p.command.ProcessState, p.waited, p.output)
		}
	})
	select {
	case at := <-address:
		p.url = strings.TrimSuffix(at, "/graphql")
	case <-p.ended:
		t.Fatalf("the server ended with %d", p.command.ProcessState.ExitCode())
	case <-time.After(patience):
		t.Fatal("the server did not start")
	}
	return p
}

func (p *process) signal(signal os.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
}

// ends sends a signal and returns how the process ended, -1 by the signal.
func (p *process) ends(signal os.Signal) int {
	p.t.Helper()
	p.signal(signal)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the server did not end on %v", signal)
	}
	return p.command.ProcessState.ExitCode()
}

// token is for a person of the demo clinic.
func (p *process) token(email string) string {
	p.t.Helper()
	got := runs(p.t, in(p.dir), "token", "--email", email)
	if got.code != 0 {
		p.t.Fatalf("no token: %s", got.stderr)
	}
	return strings.TrimSpace(got.stdout)
}

// gets fetches an address and returns the status and the body.
func (p *process) gets(path string) (int, string) {
	p.t.Helper()
	response, err := http.Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// asks sends an operation and decodes its data.
func (p *process) asks(token, query string, variables map[string]any, data any) {
	p.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		p.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var whole struct {
		Data   json.RawMessage
		Errors []json.RawMessage
	}
	if err := json.Unmarshal(answer, &whole); err != nil || len(whole.Errors) > 0 {
		p.t.Fatalf("%d: %s", response.StatusCode, answer)
	}
	if err := json.Unmarshal(whole.Data, data); err != nil {
		p.t.Fatalf("%v in %s", err, answer)
	}
}

// overview is what a person finds in their list.
type overview struct {
	Viewer struct {
		Name          string
		Conversations struct {
			Nodes []struct {
				ID           string
				Name         string
				MessageCount int
				LastMessage  struct{ ID, Text string }
			}
		}
	}
}

const overviewQuery = `{ viewer { name conversations(first: 100, filter: {archived: null}) {
	nodes { id ... on GroupConversation { name } lastMessage { id text } } } } }`

func (p *process) overview(token string) (seen overview) {
	p.t.Helper()
	p.asks(token, overviewQuery, nil, &seen)
	return seen
}

// sends sends a message to the most recent conversation.
func (p *process) sends(token, text string) {
	p.t.Helper()
	var sent struct {
		SendMessage struct {
			Message    *struct{ ID string }
			UserErrors []struct{ Message string }
		}
	}
	p.asks(token, `mutation ($in: SendMessageInput!) { sendMessage(input: $in) { message { id } userErrors { message } } }`,
		map[string]any{"in": map[string]any{
			"clientKey": text, "body": text, "conversationId": p.overview(token).Viewer.Conversations.Nodes[0].ID,
		}}, &sent)
	if sent.SendMessage.Message == nil {
		p.t.Fatalf("not sent: %+v", sent.SendMessage.UserErrors)
	}
}

// follows opens a socket with a stream of events, and returns it after the first of them.
func (p *process) follows(token string) *websocket.Conn {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, p.url+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = socket.CloseNow() })
	for _, message := range []any{
		map[string]any{"type": "connection_init", "payload": map[string]string{"Authorization": "Bearer " + token}},
		map[string]any{"type": "subscribe", "id": "events", "payload": map[string]string{"query": `subscription { events { __typename cursor } }`}},
	} {
		if err := wsjson.Write(ctx, socket, message); err != nil {
			p.t.Fatal(err)
		}
	}
	for {
		var message struct{ Type string }
		if err := wsjson.Read(ctx, socket, &message); err != nil {
			p.t.Fatal(err)
		}
		if message.Type == "next" {
			return socket
		}
	}
}

// closes reads a socket to its end and returns the code it was closed with.
func closes(t testing.TB, socket *websocket.Conn) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := socket.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// answers is the address of a server that says one thing, or nothing, to whoever speaks to it.
func answers(t testing.TB, what string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 1024))
				_, _ = io.WriteString(conn, what)
				_, _ = io.Copy(io.Discard, conn) // until they go
			}()
		}
	}()
	return listener.Addr().String()
}

// postmaster is the process of the server's own PostgreSQL.
func postmaster(t testing.TB, dir string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "pgdata", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// hasDatabaseAgain waits until another PostgreSQL than the one with the former pid answers. What the
// server says before that may come from a backend that has outlived its postmaster for a moment.
func (p *process) hasDatabaseAgain(former int) {
	p.t.Helper()
	eventually(p.t, "another PostgreSQL answers", func() bool {
		content, err := os.ReadFile(filepath.Join(p.dir, "pgdata", "postmaster.pid"))
		lines := strings.Split(string(content), "\n")
		if err != nil || len(lines) < 8 || lines[0] == strconv.Itoa(former) || strings.TrimSpace(lines[7]) != "ready" {
			return false
		}
		status, _ := p.gets("/readyz")
		return status == http.StatusOK
	})
}

// eventually waits until something is as it should be.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for giveUp := time.After(patience); !is(); {
		select {
		case <-giveUp:
			t.Fatalf("it did not happen: %s", what)
		case <-again.C:
		}
	}
}

var ann, maria = demo.Introduced[0], demo.Introduced[1]
