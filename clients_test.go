package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// needsClients skips a test where there is no npm, and only there: make test fetches the clients, and fails if it can't.
func needsClients(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("tools/clients/node_modules"); err != nil {
		t.Skip("the JavaScript clients are not installed: make clients")
	}
}

// script talks to a server with one of the common JavaScript clients. What it hears comes line by
// line.
func script(t *testing.T, tokens []string, arguments ...string) <-chan string {
	t.Helper()
	needsClients(t)
	command := exec.CommandContext(t.Context(), "node", append([]string{"tools/clients/subscriber.mjs"}, arguments...)...)
	command.Stdin = strings.NewReader(strings.Join(tokens, "\n") + "\n")
	return lines(t, command)
}

// lines starts a command that ends with the test, and returns what it prints, line by line.
func lines(t *testing.T, command *exec.Cmd) <-chan string {
	t.Helper()
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(heard)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			heard <- lines.Text()
		}
		_ = command.Wait() // it was killed, or has said what it had to say
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-done
	})
	return heard
}

// awaits reads on until a line that is no heartbeat and no note.
func awaits(t *testing.T, heard <-chan string) string {
	t.Helper()
	return awaitsLine(t, heard, func(line string) bool { return line != "Heartbeat" && !strings.HasPrefix(line, "#") })
}

// awaitsNote reads on until the client tells that its connection has ended.
func awaitsNote(t *testing.T, heard <-chan string) {
	t.Helper()
	awaitsLine(t, heard, func(line string) bool { return strings.HasPrefix(line, "#") })
}

func awaitsLine(t *testing.T, heard <-chan string, wanted func(line string) bool) string {
	t.Helper()
	for {
		select {
		case line, more := <-heard:
			if !more {
				t.Fatal("the client has ended")
			}
			if wanted(line) {
				return line
			}
		case <-time.After(patience):
			t.Fatal("the client hears nothing")
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// With the clients that people use: a session that ends comes back with a fresh token, a server that is
// killed is found again, and behind the cursor nothing is missing and nothing comes twice.
func TestTheCommonClientsComeBackAndMissNothing(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"ws", "sse"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			listen := "CORRIDOR_LISTEN=" + freeAddress(t)
			server := starts(t, demoDir(t), listen)
			token := server.token(ann)
			short := runs(t, in(server.dir), "token", "--email", ann, "--ttl", "8s")
			noticed := false
			hears := func(heard <-chan string, want string) {
				t.Helper()
				got := awaits(t, heard)
				if got == "SessionExpiring" {
					noticed = true
					got = awaits(t, heard)
				}
				if got != want {
					t.Fatalf("heard %q, want %q", got, want)
				}
			}

			heard := script(t, []string{strings.TrimSpace(short.stdout), token}, transport, server.url+"/graphql")
			select {
			case first := <-heard:
				if first != "Heartbeat" {
					t.Fatalf("first it heard %q", first)
				}
			case <-time.After(patience):
				t.Fatal("the client does not connect")
			}
			server.sends(token, "one")
			hears(heard, "one")
			for !noticed {
				noticed = awaits(t, heard) == "SessionExpiring"
			}
			awaitsNote(t, heard) // the session is over
			server.sends(token, "two")
			hears(heard, "two")
			server.ends(syscall.SIGKILL)
			server = starts(t, server.dir, listen)
			server.sends(token, "three")
			hears(heard, "three")
			if code := server.ends(syscall.SIGTERM); code != 0 {
				t.Errorf("it ended with %d", code)
			}
			server = starts(t, server.dir, listen)
			server.sends(token, "four")
			hears(heard, "four")
		})
	}
}

// Whoever is refused must not come back again and again at once: one client of this kind once connected
// 2,857 times in three seconds.
func TestTheCommonClientsDoNotStormWhenTheyAreRefused(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	for transport, most := range map[string]int{"ws": 8, "sse": 8} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			heard := script(t, []string{"nonsense"}, transport, server.url+"/graphql", "--once")
			var lines []string
			for open := true; open; {
				select {
				case line, more := <-heard:
					if open = more; more {
						lines = append(lines, line)
					}
				case <-time.After(3 * patience):
					t.Fatalf("the client does not give up: %q", lines)
				}
			}

			connections := 0
			if len(lines) == 0 {
				t.Fatal("the client says nothing")
			}
			if _, err := fmt.Sscanf(lines[len(lines)-1], "%d connections", &connections); err != nil || connections < 1 || connections > most {
				t.Errorf("it ended after %q", lines)
			}
		})
	}
	if status, _ := server.gets("/readyz"); status != http.StatusOK {
		t.Errorf("the server is not ready: %d", status)
	}
}
