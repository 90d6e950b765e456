package clamav

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"corridor/internal/clamavtest"
)

// patience is how long a test waits for what must come, and impatience how long for what never does.
const (
	patience   = 20 * time.Second
	impatience = 50 * time.Millisecond
)

func at(t *testing.T, address string) *Daemon {
	t.Helper()
	d, err := New(address)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// stranger listens where a clamd should, and does as it likes with each who comes.
func stranger(t *testing.T, does func(conn net.Conn)) *Daemon {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				does(conn)
			})
		}
	})
	return at(t, "tcp://"+listener.Addr().String())
}

// endless is a content without an end.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func (d *Daemon) finds(t *testing.T, content, want string) {
	t.Helper()
	got, err := d.Scan(t.Context(), strings.NewReader(content))
	if err != nil {
		t.Error(err)
	}
	if got != want {
		t.Errorf("it found %q, want %q", got, want)
	}
}

// mayBeTriedAgain checks that a scan ended without a verdict that stays.
func mayBeTriedAgain(t *testing.T, signature string, err error) {
	t.Helper()
	if signature != "" || err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("the scan said %q and %v, want an error that may pass", signature, err)
	}
}

func isRefused(t *testing.T, signature string, err error) {
	t.Helper()
	if signature != "" || !errors.Is(err, ErrRefused) {
		t.Errorf("the scan said %q and %v, want a refusal", signature, err)
	}
}

func TestEICARIsFoundAndALetterIsClean(t *testing.T) {
	t.Parallel()
	d := at(t, clamavtest.Daemon(t).Address)

	if err := d.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	d.finds(t, clamavtest.EICAR, "Eicar-Signature")
	d.finds(t, "Dear Ann, the scan is in.", "")
	d.finds(t, "", "")
}

func TestAContentArrivesAsItIs(t *testing.T) {
	t.Parallel()
	content := make([]byte, chunkSize+1)
	rand.NewChaCha8([32]byte{}).Read(content)
	daemon := clamavtest.Daemon(t)
	daemon.Verdict(func(got []byte) string {
		if sha256.Sum256(got) != sha256.Sum256(content) {
			return "Another-Content FOUND"
		}
		return "OK"
	})
	d := at(t, daemon.Address)

	for name, from := range map[string]io.Reader{
		"at once":                 bytes.NewReader(content),
		"by halves":               iotest.HalfReader(bytes.NewReader(content)),
		"with its end":            iotest.DataErrReader(bytes.NewReader(content)),
		"a little at a time":      iotest.OneByteReader(bytes.NewReader(content)),
		"with nothing in between": io.MultiReader(strings.NewReader(""), bytes.NewReader(content)),
	} {
		signature, err := d.Scan(t.Context(), from)
		if signature != "" || err != nil {
			t.Errorf("%s: it found %q and said %v", name, signature, err)
		}
	}
}

func TestManyScanAtOnceAndEachHearsItsOwn(t *testing.T) {
	t.Parallel()
	d := at(t, clamavtest.Daemon(t).Address)
	var all sync.WaitGroup

	for range 16 {
		all.Go(func() { d.finds(t, strings.Repeat("x", 2*chunkSize)+clamavtest.EICAR, "Eicar-Signature") })
		all.Go(func() { d.finds(t, strings.Repeat("x", 2*chunkSize), "") })
	}

	all.Wait()
}

func TestTooLargeAContentIsRefusedInTheMiddle(t *testing.T) {
	t.Parallel()
	daemon := clamavtest.Daemon(t)
	daemon.Limit(1 << 20)
	d := at(t, daemon.Address)

	for range 20 { // it answers and hangs up while we send
		signature, err := d.Scan(t.Context(), endless{})

		isRefused(t, signature, err)
	}
}

func TestTooLargeAContentIsRefusedAcrossTheNetwork(t *testing.T) {
	t.Parallel()
	d := stranger(t, func(conn net.Conn) {
		_, _ = io.CopyN(io.Discard, conn, 1<<20)
		_, _ = io.WriteString(conn, "INSTREAM size limit exceeded. ERROR\x00")
	})

	for range 20 {
		signature, err := d.Scan(t.Context(), endless{})

		isRefused(t, signature, err)
	}
}

func TestARefusalCountsAlsoIfItDoesNotHangUp(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	d := stranger(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "INSTREAM size limit exceeded. ERROR\x00")
		<-over
	})
	defer close(over)
	d.idle = impatience

	signature, err := d.Scan(t.Context(), endless{})

	isRefused(t, signature, err)
}

func TestABrokenContentIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	daemon := clamavtest.Daemon(t)
	daemon.Verdict(func([]byte) string { return "Can't parse \x1b[31mdata ERROR" })

	signature, err := at(t, daemon.Address).Scan(t.Context(), strings.NewReader("x"))

	isRefused(t, signature, err)
	if got, want := err.Error(), "scan by clamd: it can't scan this content: Can't parse ?[31mdata"; got != want {
		t.Errorf("the error is %q, want %q", got, want)
	}
}

func TestTroubleOfTheDaemonIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{
		"Error processing command. ERROR\x00", "Error writing to temporary file ERROR\x00", "COMMAND READ TIMED OUT\n", "UNKNOWN COMMAND\x00",
	} {
		signature, err := answers(t, reply).Scan(t.Context(), strings.NewReader("x"))

		mayBeTriedAgain(t, signature, err)
	}
}

// answers is a daemon that hears all of a content and says reply to it.
func answers(t *testing.T, reply string) *Daemon {
	t.Helper()
	return stranger(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for end := []byte{0, 0, 0, 0}; ; _, _ = in.Discard(1) {
			if next, err := in.Peek(4); err != nil || bytes.Equal(next, end) {
				break
			}
		}
		_, _ = in.Discard(4)
		_, _ = io.WriteString(conn, reply)
	})
}

func TestOnlyOKIsClean(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{
		"", "\x00", "stream: OK", "stream: O", "stream: OK\n", "stream: OK\n\x00", "stream: OK \x00", " stream: OK\x00", "stream: ok\x00",
		"stream:OK\x00", "OK\x00", "\x00stream: OK\x00", "1: stream: OK\x00", "stream: OK ERR\x00", "PONG\x00", "FOUND\x00", "Eicar FOUND\x00",
		"HTTP/1.1 400 Bad Request\r\n\r\n", strings.Repeat("stream: OK", 1<<20/10) + "\x00", strings.Repeat("x", longestReply) + "\x00",
	} {
		signature, err := answers(t, reply).Scan(t.Context(), strings.NewReader("x"))

		if signature != "" || err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%.40q: the scan said %q and %v", reply, signature, err)
		}
	}
}

func FuzzOnlyOKIsClean(f *testing.F) {
	for _, reply := range []string{"stream: OK", "stream: X FOUND", "stream:  FOUND", "stream: \x00 FOUND", "stream: X ERROR", "X ERROR"} {
		f.Add(reply)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		signature, err := judge(reply)
		if calledClean := signature == "" && err == nil; calledClean != (reply == "stream: OK") {
			t.Errorf("%q is called clean: %t", reply, calledClean)
		}
	})
}

func TestANameOfASignatureIsShortAndPrintableAndNeverNothing(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"Win.Test.EICAR_HDB-1":   "Win.Test.EICAR_HDB-1",
		"Eicar(44d88612:68)":     "Eicar(44d88612:68)",
		"a\nb\x00c\x7fd":         "a?b?c?d",
		"Würm\xff":               "W?rm?",
		"":                       "unnamed",
		"   ":                    "unnamed",
		"\u200b":                 "?",
		strings.Repeat("x", 201): strings.Repeat("x", 200),
	} {
		got, err := judge("stream: " + said + " FOUND")
		if err != nil || got != want {
			t.Errorf("%q is called %q (%v), want %q", said, got, err, want)
		}
	}
}

func TestOKToAHalfIsNotClean(t *testing.T) {
	t.Parallel()
	d := stranger(t, func(conn net.Conn) {
		_, _ = io.CopyN(io.Discard, conn, chunkSize)
		_, _ = io.WriteString(conn, "stream: OK\x00")
	})

	signature, err := d.Scan(t.Context(), endless{})

	mayBeTriedAgain(t, signature, err)
}

func TestAContentThatCannotBeReadIsNotScanned(t *testing.T) {
	t.Parallel()
	torn := errors.New("the disk is gone")
	ended := make(chan []byte, 1)
	d := stranger(t, func(conn net.Conn) {
		sent, _ := io.ReadAll(conn)
		ended <- sent
	})

	signature, err := d.Scan(t.Context(), io.MultiReader(strings.NewReader("half"), iotest.ErrReader(torn)))

	mayBeTriedAgain(t, signature, err)
	if !errors.Is(err, torn) {
		t.Errorf("the error is %v, want what the content said", err)
	}
	if got, want := string(<-ended), "zINSTREAM\x00\x00\x00\x00\x04half"; got != want {
		t.Errorf("the daemon got %q, want %q without an end", got, want)
	}
}

func TestWhoHangsUpHasSaidNothing(t *testing.T) {
	t.Parallel()
	d := stranger(t, func(net.Conn) {})

	for _, content := range []io.Reader{strings.NewReader("x"), endless{}} {
		signature, err := d.Scan(t.Context(), content)

		mayBeTriedAgain(t, signature, err)
	}
	if err := d.Ping(t.Context()); err == nil {
		t.Error("a ping was answered")
	}
}

func TestWhoTakesNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	d := stranger(t, func(net.Conn) { <-over })
	defer close(over)
	d.idle = impatience

	signature, err := d.Scan(t.Context(), endless{})

	mayBeTriedAgain(t, signature, err)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the error is %v, want that time is over", err)
	}
}

func TestWhoSaysNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	d := stranger(t, func(net.Conn) { <-over })
	defer close(over)
	d.idle, d.verdict = impatience, impatience

	signature, err := d.Scan(t.Context(), strings.NewReader("x"))

	mayBeTriedAgain(t, signature, err)
	if err := d.Ping(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the ping said %v, want that time is over", err)
	}
}

func TestASlowVerdictIsWaitedFor(t *testing.T) {
	t.Parallel()
	daemon := clamavtest.Daemon(t)
	held, release := daemon.Hold()
	d := at(t, daemon.Address)
	d.idle = impatience
	go func() {
		<-held
		time.AfterFunc(3*d.idle, release)
	}()

	d.finds(t, clamavtest.EICAR, "Eicar-Signature")
}

func TestWhoGivesUpDoesNotWaitForTheVerdict(t *testing.T) {
	t.Parallel()
	daemon := clamavtest.Daemon(t)
	held, release := daemon.Hold()
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held
		cancel()
	}()

	signature, err := at(t, daemon.Address).Scan(ctx, strings.NewReader("x"))

	mayBeTriedAgain(t, signature, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want that it was cancelled", err)
	}
}

func TestWhoseTimeIsOverDoesNotWaitForTheVerdict(t *testing.T) {
	t.Parallel()
	daemon := clamavtest.Daemon(t)
	_, release := daemon.Hold()
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), impatience)
	defer cancel()

	signature, err := at(t, daemon.Address).Scan(ctx, strings.NewReader("x"))

	mayBeTriedAgain(t, signature, err)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v, want that its time is over", err)
	}
}

func TestWhoGivesUpWhileSendingHangsUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	hungUp := make(chan struct{})
	d := stranger(t, func(conn net.Conn) {
		_, _ = io.CopyN(io.Discard, conn, 1<<20)
		cancel() // and we take no more until they went
		<-ctx.Done()
		_, _ = io.Copy(io.Discard, conn)
		close(hungUp)
	})

	signature, err := d.Scan(ctx, endless{})

	mayBeTriedAgain(t, signature, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want that it was cancelled", err)
	}
	select {
	case <-hungUp:
	case <-time.After(patience):
		t.Error("the connection is still open")
	}
}

func TestADaemonThatIsBackScansAgain(t *testing.T) {
	t.Parallel()
	daemon := clamavtest.Daemon(t)
	d := at(t, daemon.Address)
	held, release := daemon.Hold()
	defer release()
	go func() {
		<-held
		daemon.Stop()
	}()

	signature, err := d.Scan(t.Context(), strings.NewReader("x")) // it stops in the middle
	mayBeTriedAgain(t, signature, err)
	signature, err = d.Scan(t.Context(), strings.NewReader("x"))
	mayBeTriedAgain(t, signature, err)
	if err := d.Ping(t.Context()); err == nil {
		t.Error("a ping was answered")
	}

	release()
	daemon.Start()

	d.finds(t, clamavtest.EICAR, "Eicar-Signature")
}

func TestAnErrorNeverQuotesTheContent(t *testing.T) {
	t.Parallel()
	const secret = "Ann is ill"
	echo := stranger(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })

	_, err := echo.Scan(t.Context(), strings.NewReader(secret+"\x00"))

	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("the error is %v", err)
	}
}

func TestAnAddressIsOfTwoKinds(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"tcp://127.0.0.1:3310", "tcp://clamd:3310", "tcp://[::1]:3310", "unix:///run/clamav/clamd.ctl",
	} {
		if _, err := New(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{
		"", "127.0.0.1:3310", "clamd:3310", "tcp://clamd", "tcp://:3310", "tcp://clamd:0", "tcp://clamd:70000", "tcp://clamd:x",
		"tcp://clamd:3310/path", "tcp://clamd:3310?a=b", "tcp://ann:secret@clamd:3310", "tcp:clamd:3310", "http://clamd:3310",
		"unix://", "unix:///", "unix://clamd.ctl", "unix://run/clamav/clamd.ctl", "unix:clamd.ctl", "/run/clamav/clamd.ctl", "unix:///a#b",
	} {
		if _, err := New(address); err == nil || !strings.Contains(err.Error(), "unix:///run/clamav/clamd.ctl") {
			t.Errorf("%s: the error is %v, want what an address looks like", address, err)
		}
	}
}

// Not in parallel: it counts what the whole process allocates.
func TestAScanTakesLittleMemoryHoweverLongTheContent(t *testing.T) {
	const length = 100 << 20
	got := make(chan int, 1)
	d := stranger(t, func(conn net.Conn) {
		total, buffer := 0, make([]byte, chunkSize)
		for total < length { // and the lengths of the chunks, which don't matter here
			n, err := conn.Read(buffer)
			if total += n; err != nil {
				break
			}
		}
		got <- total
		_, _ = io.WriteString(conn, "stream: X FOUND\x00")
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	signature, err := d.Scan(t.Context(), io.LimitReader(endless{}, length))

	runtime.ReadMemStats(&after)
	if err != nil || signature != "X" || <-got < length {
		t.Errorf("the scan said %q and %v", signature, err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
		t.Errorf("it allocated %d bytes", allocated)
	}
}
