package graph

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/99designs/gqlgen/graphql"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/ast"
)

func TestFramesAreThoseOfWebSockets(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 125, 126, 127, 1<<16 - 1, 1 << 16, 1<<20 + 7} {
		here, there := net.Pipe()
		read := make(chan error, 1)
		go func() {
			defer here.Close()
			w, message := &wire{Conn: here}, newMessage()
			message.WriteString(strings.Repeat("x", n))
			read <- w.writeText(message)
		}()
		conn := readsFrames(t, there)
		kind, data, err := conn.Read(t.Context())
		if err != nil || kind != websocket.MessageText || len(data) != n || strings.Trim(string(data), "x") != "" {
			t.Errorf("%d bytes are read as %d of kind %v, %v", n, len(data), kind, err)
		}
		if err := <-read; err != nil {
			t.Error(err)
		}
	}
}

// readsFrames is a client to whom somebody else has agreed to speak over a connection.
func readsFrames(t *testing.T, there net.Conn) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://corridor.example", &websocket.DialOptions{HTTPClient: &http.Client{Transport: agreed{there}}})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// agreed answers a handshake.
type agreed struct{ io.ReadWriteCloser }

func (a agreed) RoundTrip(r *http.Request) (*http.Response, error) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: a.ReadWriteCloser, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])},
	}}, nil
}

func TestNothingIsWrittenBehindAClose(t *testing.T) {
	t.Parallel()
	var sent bytes.Buffer
	w := &wire{Conn: into{sent: &sent}}
	if _, err := w.Write([]byte{frameOfClose, 0}); err != nil {
		t.Fatal(err)
	}
	if err := w.writeText(newMessage()); !errors.Is(err, net.ErrClosed) || sent.Len() != 2 {
		t.Errorf("a message behind it: %v, %d bytes are sent", err, sent.Len())
	}
}

// into is a connection of which only what is sent matters.
type into struct {
	net.Conn
	sent *bytes.Buffer
}

func (i into) Write(p []byte) (int, error) { return i.sent.Write(p) }

func TestWhatIsKnownOfAnOperationDoesNotKeepItsDocument(t *testing.T) {
	t.Parallel()
	f := newFanOut(nil)
	operation := &ast.OperationDefinition{}
	document := weak.Make(operation)
	f.isPersonal(sharedOperationOf(&graphql.OperationContext{Operation: operation}))
	runtime.KeepAlive(operation)
	runtime.GC()
	if document.Value() != nil || len(f.personal) != 1 {
		t.Error("it is kept")
	}
}
