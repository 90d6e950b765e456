package graph

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/coder/websocket"

	"corridor/internal/auth"
)

// subprotocol is the only one spoken:
// https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
const subprotocol = "graphql-transport-ws"

// Why a socket ends. Of these the common client, graphql-ws, comes back after
// 1012, 1013, 4403 and 4408, and gives up after the others, which only a
// broken client can meet.
const (
	closeTooBig         = 1009
	closeRestart        = 1012
	closeTryAgain       = 1013
	closeInvalid        = 4400
	closeUnauthorized   = 4401
	closeForbidden      = 4403
	closeInitTimeout    = 4408
	closeDuplicate      = 4409
	closeTooManyInits   = 4429
	codeForbiddenOrigin = "FORBIDDEN_ORIGIN"
	codeSubprotocol     = "UNSUPPORTED_SUBPROTOCOL"
	codeRestarting      = "RESTARTING"
)

// maxOperationID is the length of a UUID several times over: ids are kept.
const maxOperationID = 128

// errUnavailable, wrapped by Authenticate, says that it could not find out who
// is asking. The socket then closes with 1013, not 4403.
var errUnavailable = errors.New("try again later")

// socketOptions tell how sockets behave; what is zero has the default below.
type socketOptions struct {
	// Authenticate says who is asking, from the payload of connection_init and the
	// address it comes from, and when that ends. The context it returns, made from the
	// one it gets, is that of all operations of the socket. Its error is not shown.
	Authenticate func(ctx context.Context, payload transport.InitPayload, from netip.Addr) (_ context.Context, expires time.Time, _ error)

	// ClientAddress says from where a request comes; by default it is who is connected.
	ClientAddress func(*http.Request) netip.Addr

	// AllowedOrigin says whether a page of that origin may connect. See auth.AllowedOrigin.
	AllowedOrigin func(*http.Request) bool

	Open         *carriers     // where open sockets are registered
	Logger       *slog.Logger  // for faults of ours; slog's by default
	Operations   int           // at a time on one socket; 64: a page has a handful
	MessageBytes int64         // of one message; as much as one request by POST
	InitTimeout  time.Duration // until the client is known; 10 s
	WriteTimeout time.Duration // for one message; 10 s, then others must not wait for this client
	PingInterval time.Duration // 15 s: below the idle timeout of proxies, and a dead client is gone in 30 s

	crew crew
}

// newSocket makes the transport for graphql-transport-ws, to be added before
// the other transports.
//
// gqlgen has one too. It leaves open what this one owns: the protocol's close
// codes, duplicate ids, the number of operations, and clients that do not read;
// and a socket that is idle costs it three times the memory. See
// docs/decisions/0010-sockets.md.
//
// Once a socket is told to end, nothing but the close is sent: a stream
// that looked complete would not be resumed.
func newSocket(options socketOptions) graphql.Transport {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&options.InitTimeout, 10 * time.Second},
		{&options.WriteTimeout, 10 * time.Second},
		{&options.PingInterval, 15 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if options.Operations == 0 {
		options.Operations = 64
	}
	if options.MessageBytes == 0 {
		options.MessageBytes = bodyLimit
	}
	if options.AllowedOrigin == nil {
		options.AllowedOrigin, _ = auth.AllowedOrigin(nil)
	}
	if options.ClientAddress == nil {
		options.ClientAddress = auth.ClientAddress(nil)
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	options.crew = make(crew)
	return &sockets{options}
}

// A crew does short pieces of work, each in a goroutine. Those that come to their end wait for more: their
// stacks have grown to what the work needs, and need not grow again.
type crew chan func()

// do has the work done, without waiting.
func (c crew) do(work func()) {
	select {
	case c <- work:
	default:
		go func() {
			patience := time.NewTimer(crewPatience)
			defer patience.Stop()
			for {
				work()
				patience.Reset(crewPatience)
				select {
				case work = <-c:
				case <-patience.C:
					return
				}
			}
		}()
	}
}

// crewPatience is how long somebody waits for more work.
const crewPatience = time.Second

type sockets struct{ options socketOptions }

// Supports takes every request that wants another protocol.
func (*sockets) Supports(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// Do opens a socket, which lives on when the request is over: what a request holds would be kept
// for hours.
func (t *sockets) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	switch {
	case !t.options.AllowedOrigin(r):
		refuse(w, http.StatusForbidden, refusal(codeForbiddenOrigin, "Pages of this origin may not connect."))
		return
	case !offers(r, subprotocol):
		refuse(w, http.StatusBadRequest, refusal(codeSubprotocol, "Connect with the WebSocket subprotocol "+subprotocol+"; no other is spoken here."))
		return
	case t.options.Open.isDraining():
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, refusal(codeRestarting, "This server is about to stop: connect again."))
		return
	}
	lean := &lean{ResponseWriter: w}
	conn, err := websocket.Accept(lean, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // the origin has been checked
	})
	if err != nil {
		return // the client has been told
	}
	s := &socket{conn: conn, wire: lean.wire, exec: exec, from: t.options.ClientAddress(r), options: &t.options}
	s.ctx, s.cancel = context.WithCancel(carriedBy(context.Background(), s))
	if !t.options.Open.add(s) {
		s.end(closeRestart, "Service restart")
		return
	}
	go s.serve()
}

// lean makes the buffers of a connection small: most sockets are idle most of the time, and what is
// longer goes around them.
type lean struct {
	http.ResponseWriter
	wire *wire // from Hijack on
}

const leanBuffer = 512

// Hijack implements http.Hijacker.
func (w *lean) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, large, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// What the client sent early must be in the buffer, where it is looked for.
	early, err := large.Reader.Peek(large.Reader.Buffered())
	small := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(early), conn), max(leanBuffer, len(early)))
	if err == nil {
		_, err = small.Peek(len(early))
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	w.wire = &wire{Conn: conn}
	return w.wire, bufio.NewReadWriter(small, bufio.NewWriterSize(w.wire, leanBuffer)), nil
}

// A wire is a connection on which text messages are written beside what the library writes, which by itself copies each message twice and more. The
// library is left with control frames, each of which it writes in one piece.
type wire struct {
	net.Conn

	mu sync.Mutex
	// closed says that a close frame was written, which is the last one.
	closed bool
}

// The first byte of a frame that is a whole message: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
const (
	frameOfText  = 0x81
	frameOfClose = 0x88
	// mostHead is how long what comes before the message is at most.
	mostHead = 10
)

// Write implements net.Conn, for the library.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = w.closed || len(p) > 0 && p[0] == frameOfClose
	return w.Conn.Write(p)
}

// newMessage returns an empty message, to be written to and then put back.
func newMessage() *bytes.Buffer {
	message := buffers.Get().(*bytes.Buffer)
	message.Reset()
	message.Write(make([]byte, mostHead))
	return message
}

// writeText writes a message of newMessage.
func (w *wire) writeText(message *bytes.Buffer) error {
	frame := framed(message.Bytes())
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	_, err := w.Conn.Write(frame)
	return err
}

// framed writes the head of a message into the room before it, and returns both. What a server sends is not masked.
func framed(message []byte) []byte {
	switch n := len(message) - mostHead; {
	case n < 126:
		message = message[mostHead-2:]
		message[1] = byte(n)
	case n <= math.MaxUint16:
		message = message[mostHead-4:]
		message[1] = 126
		binary.BigEndian.PutUint16(message[2:], uint16(n))
	default:
		message[1] = 127
		binary.BigEndian.PutUint64(message[2:], uint64(n))
	}
	message[0] = frameOfText
	return message
}

func offers(r *http.Request, subprotocol string) bool {
	for _, header := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offered := range strings.SplitSeq(header, ",") {
			if strings.TrimSpace(offered) == subprotocol {
				return true
			}
		}
	}
	return false
}
