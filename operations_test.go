package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// operator is somebody on the machine of a server.
type operator struct {
	t   testing.TB
	url string
	*http.Client
}

// operator comes to the server's address for operators.
func (p *process) operator() *operator {
	p.t.Helper()
	found := regexp.MustCompile(`"operators may take profiles","address":"([^"]+)"`).FindStringSubmatch(p.output.String())
	if found == nil {
		p.t.Fatal("the server does not say where operators may come")
	}
	address := found[1]
	if !filepath.IsAbs(address) {
		return &operator{p.t, "http://" + address, http.DefaultClient}
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", address)
	}
	return &operator{p.t, "http://operations", &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// takes takes a profile, and unpacks it if it is packed.
func (o *operator) takes(profile string) (status int, content string) {
	response, err := o.Get(o.url + "/debug/pprof/" + profile)
	if err != nil {
		o.t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		o.t.Errorf("%s: %v", profile, err)
	}
	if packed, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
		if body, err = io.ReadAll(packed); err != nil {
			o.t.Errorf("%s: %v", profile, err)
		}
	}
	return response.StatusCode, string(body)
}

func TestOperatorsTakeProfilesAndNobodyElseDoes(t *testing.T) {
	t.Parallel()
	dir := demoDir(t)
	socket := filepath.Join(filepath.Dir(dir), "operations.sock")
	server := starts(t, dir, "CORRIDOR_OPERATIONS_LISTEN=unix://"+socket)
	operator := server.operator()

	var all sync.WaitGroup
	for profile, holds := range map[string]string{
		"": "full goroutine stack dump", "heap": "inuse_space", "allocs": "alloc_space", "goroutine": "corridor/internal/eventlog", "threadcreate": "threadcreate",
		"profile?seconds=1": "cpu", "trace?seconds=1": "go 1.", "mutex?seconds=1": "contentions", "block?seconds=1&debug=1": "corridor/internal/eventlog",
	} {
		all.Go(func() {
			if status, content := operator.takes(profile); status != http.StatusOK || !strings.Contains(content, holds) {
				t.Errorf("%q is answered with %d and %d bytes without %q", profile, status, len(content), holds)
			}
		})
	}
	all.Wait()

	if status, _ := operator.takes("cmdline"); status != http.StatusNotFound { // a secret may be among the flags
		t.Errorf("the command line is answered with %d", status)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile"} {
		if status, body := server.gets(path); status != http.StatusNotFound || !strings.Contains(body, `"NOT_FOUND"`) {
			t.Errorf("others are answered %s with %d %s", path, status, body)
		}
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is not for its owner alone: %v, %v", info, err)
	}
	server.ends(syscall.SIGKILL)
	server = starts(t, dir, "CORRIDOR_OPERATIONS_LISTEN=unix://"+socket)
	if status, _ := server.operator().takes("heap"); status != http.StatusOK {
		t.Errorf("where a killed server was the next one answers with %d", status)
	}
}

func TestWhoTakesAProfileHoldsNoServerUp(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t), "CORRIDOR_OPERATIONS_LISTEN=127.0.0.1:0", "CORRIDOR_DRAIN_TIME=10m")
	operator := server.operator()
	response, err := operator.Get(operator.url + "/debug/pprof/trace?seconds=3600") // what there is of it comes at once
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()

	code := server.ends(syscall.SIGTERM)

	if code != 0 {
		t.Errorf("it ended with %d", code)
	}
	if trace, err := io.ReadAll(response.Body); err != nil || !strings.HasPrefix(string(trace), "go 1.") {
		t.Errorf("the trace is cut off: %d bytes, %v", len(trace), err)
	}
}

func TestNobodyTakesTheAddressOfOperatorsFromAnotherServer(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(filepath.Dir(emptyDir(t)), "operations.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()

	got := runs(t, []string{"CORRIDOR_DATA_DIR=" + emptyDir(t), "CORRIDOR_LISTEN=127.0.0.1:0", "CORRIDOR_OPERATIONS_LISTEN=unix://" + socket})

	if got.code != exitFailed || !strings.Contains(got.stderr, "another program listens at "+socket) || !strings.Contains(got.stderr, "CORRIDOR_OPERATIONS_LISTEN") {
		t.Errorf("it ended with %d: %s", got.code, got.stderr)
	}
}

// Looking at who waits costs something, so nobody looks unless somebody asks, and then one looks for all.
func TestWaitingIsLookedAtWhileSomebodyAsks(t *testing.T) {
	t.Parallel()
	var looks []bool
	handler := watched("mutex", func() { looks = append(looks, true) }, func() { looks = append(looks, false) })

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			ctx, leaves := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer leaves()
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/debug/pprof/mutex", nil))
		})
	}
	all.Wait()

	for i, look := range looks {
		if look != (i%2 == 0) {
			t.Fatalf("it began and ended so: %v", looks)
		}
	}
	if len(looks) == 0 || looks[len(looks)-1] {
		t.Errorf("it began and ended so: %v", looks)
	}
}
