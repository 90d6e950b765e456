package main

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // what RFC 6455 asks for
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"corridor/internal/postgres"
)

// bareVariable is set for the process that is the bare server.
const bareVariable = "CORRIDOR_BENCH_BARE"

// bare is the limit of deliveries: a WebSocket server that writes what it is sent by the least SQL and then the same frame, encoded
// once, to all who follow. Nobody is checked, nothing is resumed, and what a socket misses is gone.
type bare struct {
	mu     sync.Mutex
	groups map[string]*bareGroup
}

type bareGroup struct {
	mu sync.Mutex // held while one message is written and told, so that they come in order
	// sockets are those of a WebSocket library, plain are connections that whole frames are written to.
	sockets []*websocket.Conn
	plain   []net.Conn
}

// serveBare runs the bare server until its standard input ends, and prints its address.
func serveBare(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	db, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close()
	b := &bare{groups: map[string]*bareGroup{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /follow", func(w http.ResponseWriter, r *http.Request) {
		socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return
		}
		group := b.group(r)
		group.mu.Lock()
		group.sockets = append(group.sockets, socket)
		group.mu.Unlock()
		_, _, _ = socket.Read(ctx) // until they go
		group.mu.Lock()
		group.sockets = slices.DeleteFunc(group.sockets, func(other *websocket.Conn) bool { return other == socket })
		group.mu.Unlock()
	})
	mux.HandleFunc("GET /plain", func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
		_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
			base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
		if err != nil {
			return
		}
		group := b.group(r)
		group.mu.Lock()
		group.plain = append(group.plain, conn)
		group.mu.Unlock()
		_, _ = io.Copy(io.Discard, buffered) // until they go
		group.mu.Lock()
		group.plain = slices.DeleteFunc(group.plain, func(other net.Conn) bool { return other == conn })
		group.mu.Unlock()
		conn.Close()
	})
	mux.HandleFunc("POST /send", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		query := r.URL.Query()
		size, _ := strconv.Atoi(query.Get("size"))
		conversation, sender := uuid.MustParse(query.Get("group")), uuid.MustParse(query.Get("sender"))
		group := b.group(r)
		group.mu.Lock()
		defer group.mu.Unlock()
		seq, err := leastSend(r.Context(), db, conversation, sender, uuid.NewString(), string(text))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		group.tell(r.Context(), frameOf(seq, string(text), size))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux} //nolint:gosec // nobody else knows it
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
		server.Close()
	}()
	fmt.Println("http://" + listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (b *bare) group(r *http.Request) *bareGroup {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := r.URL.Query().Get("group")
	if b.groups[id] == nil {
		b.groups[id] = &bareGroup{}
	}
	return b.groups[id]
}

// frameOf is what subscribers hear of a message, as long as what the program sends them.
func frameOf(seq int64, text string, size int) []byte {
	frame := fmt.Appendf(nil, `{"id":"1","type":"next","payload":{"data":{"events":{"message":{"seq":%d,"text":%q},"filling":"`, seq, text)
	const end = `"}}}}`
	frame = append(frame, strings.Repeat("x", max(0, size-len(frame)-len(end)))...)
	return append(frame, end...)
}

// tell writes a frame to all who follow. The caller holds the lock.
func (g *bareGroup) tell(ctx context.Context, payload []byte) {
	for _, socket := range g.sockets {
		_ = socket.Write(ctx, websocket.MessageText, payload) // who has gone hears nothing
	}
	if len(g.plain) == 0 {
		return
	}
	whole := []byte{0x81} // a text, and all of it
	if len(payload) < 126 {
		whole = append(whole, byte(len(payload)))
	} else {
		whole = binary.BigEndian.AppendUint16(append(whole, 126), uint16(len(payload)))
	}
	whole = append(whole, payload...)
	for _, conn := range g.plain {
		_, _ = conn.Write(whole)
	}
}

// isBare tells whether this process is the bare server.
func isBare() bool { return os.Getenv(bareVariable) != "" }

// firstLine reads the first line that a process prints.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	return strings.TrimSpace(line), err
}
