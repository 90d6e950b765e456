// Package clamav has a clamd scan what people send. It speaks the daemon's protocol (man clamd) itself, which is little; go-clamd, the
// library for it, was left in 2017 and has no deadlines.
//
// It fails closed. Clean is only what was sent to its end and what the daemon then called OK.
//
// The daemon calls OK what its own limits keep it from looking at. Those who run it should set AlertExceedsMax, so that it
// names a signature instead, and a StreamMaxLength that is not above MaxFileSize.
package clamav

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	chunkSize    = 64 << 10
	longestReply = 4 << 10
	longestName  = 200
)

// ErrRefused is that the daemon can't scan this content, because it is too large for it or broken. It will say so again.
var ErrRefused = errors.New("it can't scan this content")

var (
	errAddress = errors.New("the address of clamd looks like tcp://127.0.0.1:3310 or unix:///run/clamav/clamd.ctl")
	errHungUp  = errors.New("it hung up before it had answered")
	errForeign = errors.New("it does not answer as clamd does") // and what it says may be the content: an error never quotes it
)

// Daemon is a clamd. It may be asked by many at once; each question has a connection of its own.
type Daemon struct {
	network, address string

	idle    time.Duration // for connecting, for each write, and for the answer to a ping
	verdict time.Duration // for the answer to a content; above the daemon's MaxScanTime, because scans queue
}

// New is the daemon at an address such as tcp://127.0.0.1:3310 or unix:///run/clamav/clamd.ctl. It does not connect; the
// error tells what an address looks like.
func New(address string) (*Daemon, error) {
	d := &Daemon{idle: 30 * time.Second, verdict: 5 * time.Minute}
	at, err := url.Parse(address)
	if err != nil || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return nil, errAddress
	}
	port, err := strconv.ParseUint(at.Port(), 10, 16)
	switch {
	case at.Scheme == "tcp" && at.Hostname() != "" && err == nil && port > 0 && at.Path == "":
		d.network, d.address = "tcp", at.Host
	case at.Scheme == "unix" && at.Host == "" && len(at.Path) > 1:
		d.network, d.address = "unix", at.Path
	default:
		return nil, errAddress
	}
	return d, nil
}

// Ping tells whether the daemon answers.
func (d *Daemon) Ping(ctx context.Context) error {
	reply, err := d.ask(ctx, "zPING\x00", nil, d.idle)
	if err == nil && reply != "PONG" {
		err = errForeign
	}
	if err != nil {
		return fmt.Errorf("ping clamd: %w", err)
	}
	return nil
}

// Scan sends the daemon what from has. It returns the name of the signature that was found, in printable ASCII, and "" if
// the content is clean. An error that is ErrRefused stays; any other may be gone the next time: nobody answers, it takes too
// long, the daemon has trouble of its own.
//
// It ends soon after ctx does, but not before a Read of from that has begun.
func (d *Daemon) Scan(ctx context.Context, from io.Reader) (signature string, err error) {
	reply, err := d.ask(ctx, "zINSTREAM\x00", from, d.verdict)
	if err == nil {
		signature, err = judge(reply)
	}
	if err != nil {
		return "", fmt.Errorf("scan by clamd: %w", err)
	}
	return signature, nil
}

const clean = "stream: OK"

// judge reads the reply to a content. What begins with "stream: " is about the content, other errors are the daemon's own:
// "Error processing command. ERROR" says that its disk is full.
func judge(reply string) (signature string, err error) {
	if reply == clean {
		return "", nil
	}
	result, ofContent := strings.CutPrefix(reply, "stream: ")
	if name, found := strings.CutSuffix(result, " FOUND"); ofContent && found {
		return printable(name), nil
	}
	reason, failed := strings.CutSuffix(result, " ERROR")
	switch {
	case !failed:
		return "", errForeign
	case ofContent || reason == "INSTREAM size limit exceeded.":
		return "", fmt.Errorf("%w: %s", ErrRefused, printable(reason))
	default:
		return "", fmt.Errorf("it is in trouble: %s", printable(reason))
	}
}

// printable is what of a name may go to a page or a log. It is never "", which would say clean.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
	if name = strings.TrimSpace(name[:min(len(name), longestName)]); name == "" {
		return "unnamed"
	}
	return name
}

// ask sends a command, and the content if there is one, and returns the reply.
func (d *Daemon) ask(ctx context.Context, command string, content io.Reader, patience time.Duration) (reply string, err error) {
	dialer := net.Dialer{Timeout: d.idle}
	conn, err := dialer.DialContext(ctx, d.network, d.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	c := conversation{conn: conn, idle: d.idle}
	c.say([]byte(command))
	if content != nil {
		if err := c.stream(content); err != nil {
			return "", fmt.Errorf("read the content: %w", err)
		}
	}
	if reply, err = c.hear(patience); err != nil && ctx.Err() != nil {
		return "", ctx.Err() // which closed the connection
	}
	return reply, err
}

// conversation is one question and its answer.
type conversation struct {
	conn   net.Conn
	idle   time.Duration
	broken error // why the daemon takes no more; it may have said something before
}

func (c *conversation) say(b []byte) {
	if c.broken == nil {
		c.broken = c.conn.SetWriteDeadline(time.Now().Add(c.idle))
	}
	if c.broken == nil {
		_, c.broken = c.conn.Write(b)
	}
}

// stream says the content in chunks, each with its length before it, and the chunk of no length that ends it. The error is
// that of the content, and nothing ends it then.
func (c *conversation) stream(content io.Reader) error {
	buffer := make([]byte, 4+chunkSize)
	for c.broken == nil {
		n, err := content.Read(buffer[4:])
		if n > 0 {
			binary.BigEndian.PutUint32(buffer, uint32(n))
			c.say(buffer[:4+n])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	c.say(make([]byte, 4))
	return nil
}

// hear returns the reply. One that came before the daemon took no more counts, as beyond the limit of size, but for OK,
// which would be about a half.
func (c *conversation) hear(patience time.Duration) (string, error) {
	if c.broken != nil {
		patience = min(patience, time.Second) // it is here already, or never comes
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	reply, err := bufio.NewReaderSize(c.conn, longestReply).ReadSlice(0)
	switch {
	case c.broken != nil && (err != nil || string(reply) == clean+"\x00"):
		return "", c.broken
	case errors.Is(err, bufio.ErrBufferFull):
		return "", errForeign
	case errors.Is(err, io.EOF):
		return "", errHungUp
	case err != nil:
		return "", err
	}
	return string(reply[:len(reply)-1]), nil
}
