// Package s3test runs S3 servers for tests: a versitygw that keeps its objects in a directory of the test.
//
// The program is built from tools/s3 into bin when it is not there, or by make s3. A server ends with its
// test, and with the process of the test however that ends.
package s3test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 20 * time.Second

// S3 is a server with one bucket.
type S3 struct {
	// Location is that of the bucket: s3://files?endpoint=http://127.0.0.1:port&region=us-east-1. It
	// stays the same over restarts, as do the keys.
	Location             string
	AccessKey, SecretKey string

	t       testing.TB
	program string
	dir     string
	address string
	life    *os.File // the server runs until it is closed
	ended   chan struct{}
}

// Server starts a server that nobody else uses, with an empty bucket. It ends with the test.
func Server(t testing.TB) *S3 {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
	s := &S3{t: t, program: program, dir: t.TempDir(), AccessKey: "test-" + rand.Text(), SecretKey: rand.Text()}
	for _, dir := range []string{"data/files", "about"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatalf("s3test: %v", err)
		}
	}
	t.Cleanup(s.Stop)
	for range 3 { // another process may be faster to use the port
		if s.address, err = freeAddress(); err == nil {
			err = s.start()
		}
		if err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
	s.Location = "s3://files?endpoint=" + url.QueryEscape("http://"+s.address) + "&region=us-east-1"
	return s
}

// Environment are the variables that hold the keys, for another process.
func (s *S3) Environment() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey}
}

// Stop ends the server as a crash would, and returns when it is down. A stopped server may be stopped
// again.
func (s *S3) Stop() {
	if s.life == nil {
		return
	}
	s.life.Close()
	<-s.ended
	s.life = nil
}

// Start runs the server again after Stop, with the objects it had, and returns when it answers.
func (s *S3) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("s3test: %v", err)
	}
}

// run runs a program until that ends or the process that holds the other end of descriptor 3 does.
const run = `"$@" 3<&- &
	server=$!
	(read -r nothing <&3; kill -9 $server) >/dev/null 2>&1 &
	exec 3<&-
	wait $server`

func (s *S3) start() error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	read, life, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	health := "/" + rand.Text() // a path that no other server knows
	server := exec.Command("sh", "-c", run, "sh", s.program, "--port", s.address, "--health", health, "--quiet", "--keep-alive",
		"posix", "--sidecar", filepath.Join(s.dir, "about"), // beside the objects, for file systems without attributes
		filepath.Join(s.dir, "data"))
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+s.AccessKey, "ROOT_SECRET_ACCESS_KEY="+s.SecretKey)
	server.Stdout, server.Stderr = log, log
	server.ExtraFiles = []*os.File{read}
	if err := server.Start(); err != nil {
		life.Close()
		return err
	}
	s.life, s.ended = life, make(chan struct{})
	go func() {
		_ = server.Wait()
		close(s.ended)
	}()
	if err := s.answers("http://" + s.address + health); err != nil {
		s.Stop()
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

// answers waits until the server does.
func (s *S3) answers(health string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, health, nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.ended:
			return errors.New("the server has ended")
		case <-time.After(time.Millisecond):
		}
	}
	return errors.New("the server does not answer")
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// built returns the path of the program, which it builds if it is missing or older than what tools/s3
// asks for. Processes that build at the same moment end with one and the same.
var built = sync.OnceValues(func() (string, error) {
	said, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(said)))
	program := filepath.Join(root, "bin", "versitygw")
	wanted, err := os.Stat(filepath.Join(root, "tools", "s3", "go.mod"))
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(program); err == nil && !info.ModTime().Before(wanted.ModTime()) {
		return program, nil
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(filepath.Dir(program), "versitygw-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(made)
	build := exec.Command("go", "build", "-modfile=tools/s3/go.mod", "-o", filepath.Join(made, "versitygw"), "github.com/versity/versitygw/cmd/versitygw")
	build.Dir = root
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the S3 server that tests use can't be built: is there a network, or a module proxy in GOPROXY? make s3 tries again: %w\n%s", err, said)
	}
	return program, os.Rename(filepath.Join(made, "versitygw"), program)
})
