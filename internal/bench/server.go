package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"corridor/internal/postgres"
)

// databaseURL is where a database of the server is.
func databaseURL(server *postgres.Server, name string) string {
	at, err := url.Parse(server.URL())
	if err != nil {
		panic(err) // it is ours
	}
	at.Path = "/" + name
	return at.String()
}

// postmaster is the process of the PostgreSQL in a directory.
func postmaster(dir string) (int, error) {
	content, err := os.ReadFile(filepath.Join(dir, "pgdata", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}

// plainEnvironment is ours without settings of Corridor.
func plainEnvironment() (clean []string) {
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "CORRIDOR_") && !strings.HasPrefix(setting, "DATABASE_URL=") {
			clean = append(clean, setting)
		}
	}
	return clean
}

// runs runs a command of the program to its end.
func runs(ctx context.Context, binary string, env []string, arguments ...string) error {
	command := exec.CommandContext(ctx, binary, arguments...)
	command.Env = env
	said, err := command.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		return fmt.Errorf("corridor %s: %w: %s", arguments[0], err, lines[len(lines)-1])
	}
	return nil
}

// child is a process of ours: the server that is measured, or the bare one.
type child struct {
	command *exec.Cmd
	pid     int
	// url is where it answers.
	url   string
	ended chan struct{}
	stdin io.Closer
}

// startServer starts the program on a database and waits until it is ready. Nobody's budget bounds the load.
func startServer(ctx context.Context, binary, database, name, tokenKey, dir string) (*child, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port, which is unlikely to be taken in between
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	listener.Close()
	files := filepath.Join(dir, "files", name)
	if err := os.RemoveAll(files); err != nil { // they are those of the database of an earlier run
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.CommandContext(ctx, binary, "serve")
	command.Env = append(plainEnvironment(), "DATABASE_URL="+database, "CORRIDOR_TOKEN_KEY="+tokenKey, "CORRIDOR_LISTEN="+address,
		"CORRIDOR_DEMO=false", "CORRIDOR_FILES="+files, "CORRIDOR_PERSON_BUDGET=0", "CORRIDOR_LOG_LEVEL=warn", "CORRIDOR_DRAIN_TIME=1s")
	if name == mainServer { // two can't have one address; docs/profiles.md
		command.Env = append(command.Env, "CORRIDOR_OPERATIONS_LISTEN="+os.Getenv("CORRIDOR_OPERATIONS_LISTEN"))
	}
	command.Stdout, command.Stderr = log, log
	c, err := start(command, nil)
	if err != nil {
		return nil, err
	}
	c.url = "http://" + address
	for giveUp := time.Now().Add(time.Minute); ; {
		response, err := http.Get(c.url + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return c, nil
			}
		}
		select {
		case <-c.ended:
			return nil, fmt.Errorf("the server ended with %d: see %s", command.ProcessState.ExitCode(), log.Name())
		default:
		}
		if time.Now().After(giveUp) {
			c.stop()
			return nil, fmt.Errorf("the server was not ready within a minute: see %s", log.Name())
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			c.stop()
			return nil, err
		}
	}
}

// mainServer is the one that the works are done with.
const mainServer = "run"

// versionOf is what a program was built from, as far as it knows.
func versionOf(binary string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "unknown"
	}
	revision, modified := "unknown", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			modified = ", changed"
		}
	}
	return revision + modified
}

// startBare starts this program as the bare server.
func startBare(ctx context.Context, database string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self)
	command.Env = append(plainEnvironment(), bareVariable+"=1", "DATABASE_URL="+database)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdin, err := command.StdinPipe() // its end is the end of the server, also if we are killed
	if err != nil {
		return nil, err
	}
	stdout, writes, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	command.Stdout = writes
	c, err := start(command, stdin)
	writes.Close()
	if err != nil {
		return nil, err
	}
	if c.url, err = firstLine(stdout); err != nil {
		c.stop()
		return nil, errors.New("the bare server did not start: " + stderr.String())
	}
	return c, nil
}

// start starts a process, which is told to end when the context of the command does.
func start(command *exec.Cmd, stdin io.Closer) (*child, error) {
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		return nil, err
	}
	c := &child{command: command, pid: command.Process.Pid, ended: make(chan struct{}), stdin: stdin}
	go func() {
		_ = command.Wait() // how it ended is in its state
		close(c.ended)
	}()
	return c, nil
}

// stop ends it and waits until it has.
func (c *child) stop() {
	if c.stdin != nil {
		c.stdin.Close()
	}
	_ = c.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
		_ = c.command.Process.Kill()
		<-c.ended
	}
}
