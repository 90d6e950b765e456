package clamav

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"corridor/internal/clamavtest"
)

// installed starts the clamd of this machine with a signature of EICAR only, which needs no network. It skips the test where
// there is none.
func installed(t *testing.T, settings ...string) (d *Daemon, temporary string) {
	t.Helper()
	program, err := exec.LookPath("clamd")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/clamd"); err != nil {
			t.Skip("no clamd is installed: on Debian it is in clamav-daemon")
		}
	}
	dir, err := os.MkdirTemp("", "clamd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"signatures", "temporary"} {
		if err := os.Mkdir(in(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"signatures/eicar.ndb": fmt.Sprintf("Eicar-Signature:0:*:%s\n", hex.EncodeToString([]byte(clamavtest.EICAR))),
		"clamd.conf": strings.Join(append(settings,
			"Foreground yes", "LocalSocket "+in("clamd.ctl"), "DatabaseDirectory "+in("signatures"), "TemporaryDirectory "+in("temporary"),
		), "\n") + "\n",
	} {
		if err := os.WriteFile(in(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	var says bytes.Buffer
	daemon := exec.Command(program, "--config-file", in("clamd.conf"))
	daemon.Stdout, daemon.Stderr = &says, &says
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = daemon.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = daemon.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("clamd said:\n%s", says.String())
		}
	})
	d = at(t, "unix://"+in("clamd.ctl"))
	late := time.After(patience)
	for d.Ping(t.Context()) != nil {
		select {
		case <-ended:
			t.Fatal("clamd ended")
		case <-late:
			t.Fatal("clamd does not answer")
		case <-time.After(10 * time.Millisecond):
		}
	}
	return d, in("temporary")
}

func TestTheRealDaemonAgrees(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	d, temporary := installed(t, "StreamMaxLength 1M")
	const found = "Eicar-Signature.UNOFFICIAL" // as it calls signatures that are not ClamAV's

	d.finds(t, clamavtest.EICAR, found)
	d.finds(t, strings.Repeat("x", limit-len(clamavtest.EICAR))+clamavtest.EICAR, found)
	d.finds(t, strings.Repeat("x", limit), "")
	d.finds(t, "", "")

	for _, length := range []int64{limit + 1, 2 * limit, 100 * limit} {
		for range 5 {
			signature, err := d.Scan(t.Context(), io.LimitReader(endless{}, length))

			isRefused(t, signature, err)
		}
	}

	if err := os.Remove(temporary); err != nil {
		t.Fatal(err)
	}
	signature, err := d.Scan(t.Context(), strings.NewReader("x")) // as when its disk is full
	mayBeTriedAgain(t, signature, err)
	if err := os.Mkdir(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	d.finds(t, clamavtest.EICAR, found)
}

// The advice of the package comment.
func TestTheRealDaemonCallsOKWhatItsLimitsKeepItFrom(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("x", 2<<20) + clamavtest.EICAR
	for setting, want := range map[string]string{
		"AlertExceedsMax no":  "",
		"AlertExceedsMax yes": "Heuristics.Limits.Exceeded.MaxFileSize",
	} {
		d, _ := installed(t, "MaxFileSize 1M", setting)

		d.finds(t, content, want)
	}
}
