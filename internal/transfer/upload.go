package transfer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/tus/tusd/v2/pkg/handler"
	exp "golang.org/x/exp/slog"

	"corridor/internal/chat"
)

const (
	// uploadsAtOnce bounds the requests that bring bytes to this process at a time: each holds a piece in memory.
	uploadsAtOnce = 40
	// uploadsEach bounds those of one person.
	uploadsEach = 6
	// receiveTime bounds what the server does with a piece. With the last one it looks at the whole file.
	receiveTime = 2 * time.Minute
)

// uploads answers by the tus protocol. The library speaks it; what there is of an upload chat knows.
type uploads struct {
	tus  http.Handler
	busy *busy
}

type visitKey struct{}

func newUploads(options Options) (*uploads, error) {
	composer := handler.NewStoreComposer()
	store := tusStore{options.Chat, options.Logger, options.Patience.Piece, options.Patience.Sight}
	composer.UseCore(store)
	composer.UseTerminater(store)
	protocol, err := handler.NewUnroutedHandler(handler.Config{
		StoreComposer: composer, MaxSize: options.Chat.FileSizeLimit(), NetworkTimeout: options.Patience.Silence,
		GracefulRequestCompletionTimeout: time.Millisecond, // for which each request leaves goroutines; what is under way has a time of its own
		Cors:                             &handler.CorsConfig{Disable: true},
		Logger:                           exp.New(exp.NewTextHandler(io.Discard, nil)), // what is ours we log ourselves
	})
	if err != nil {
		return nil, err
	}
	methods := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodHead:
			protocol.HeadFile(w, r)
		case http.MethodPatch:
			protocol.PatchFile(w, r)
		case http.MethodDelete:
			protocol.DelFile(w, r)
		}
	})
	return &uploads{tus: protocol.Middleware(methods), busy: &busy{of: map[chat.UserID]int{}}}, nil
}

func (u *uploads) serve(w http.ResponseWriter, r *http.Request, as visit) {
	switch r.Method {
	case http.MethodPatch:
		if !u.busy.enter(as.actor.User.ID) {
			closing(w)
			w.Header().Set("Retry-After", "1")
			Refuse(w, http.StatusServiceUnavailable, "BUSY", "Too many uploads are under way: try again in a moment.")
			return
		}
		defer u.busy.leave(as.actor.User.ID)
	case http.MethodHead, http.MethodDelete, http.MethodOptions:
	default:
		refuseMethod(w, "HEAD, PATCH, DELETE, OPTIONS", "Send the bytes with PATCH, by the tus protocol.")
		return
	}
	// The library takes the path for the id.
	inner := r.Clone(context.WithValue(r.Context(), visitKey{}, as))
	inner.URL.Path = as.file.String()
	inner.Header.Del("X-HTTP-Method-Override")
	u.tus.ServeHTTP(&formed{ResponseWriter: w}, inner)
}

// formed gives the library's own failures the form of the API.
type formed struct {
	http.ResponseWriter
	status int
}

// said are the failures of the library that clients meet, as the API says them.
var said = map[string]*chat.Error{
	handler.ErrMismatchOffset.ErrorCode: chat.ErrUploadMoved,
	handler.ErrSizeExceeded.ErrorCode:   {Code: chat.CodeFileSizeMismatch, Message: "More bytes came than were announced."},
	handler.ErrReadTimeout.ErrorCode:    tooSlow,

	handler.ErrUnsupportedVersion.ErrorCode: {Code: "UNSUPPORTED_VERSION", Message: "By the tus protocol the header Tus-Resumable must be there, and be 1.0.0."},
	handler.ErrInvalidContentType.ErrorCode: {Code: "INVALID_CONTENT_TYPE", Message: "By the tus protocol the header Content-Type must be application/offset+octet-stream."},
	handler.ErrInvalidOffset.ErrorCode:      {Code: "INVALID_OFFSET", Message: "By the tus protocol the header Upload-Offset must say how many bytes there are already."},
	handler.ErrNotImplemented.ErrorCode:     {Code: "NOT_IMPLEMENTED", Message: "The size was announced: leave out the header Upload-Length."},
	handler.ErrUnexpectedEOF.ErrorCode:      {Code: "UNEXPECTED_EOF", Message: "The bytes broke off. What came is kept: go on from there."},
}

var tooSlow = &chat.Error{Code: "TOO_SLOW", Message: "The upload is too slow. What came is kept: go on from there."}

func (w *formed) WriteHeader(status int) {
	if w.Header().Get("Tus-Extension") != "" {
		w.Header().Set("Tus-Extension", "termination") // uploads are created elsewhere
	}
	if status >= http.StatusBadRequest {
		closing(w)
	}
	if status < http.StatusBadRequest || w.Header().Get("Content-Type") == "application/json" || w.Header().Get("Content-Length") == "" {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.status = status // until it is said why
}

// closing has the connection end behind the answer: to go on with it the server would first wait for the
// rest of what is sent.
func closing(w http.ResponseWriter) { w.Header().Set("Connection", "close") }

func (w *formed) Write(body []byte) (int, error) {
	if w.status == 0 {
		return w.ResponseWriter.Write(body)
	}
	w.Header().Del("Content-Length")
	code, _, _ := strings.Cut(strings.TrimSpace(string(body)), ": ")
	if known := said[code]; known != nil {
		Refuse(w.ResponseWriter, statusOf(known.Code), string(known.Code), known.Message)
	} else {
		Refuse(w.ResponseWriter, w.status, "INTERNAL", "The upload broke off. What came is kept: go on from there.")
	}
	return len(body), nil
}

// Unwrap is for http.ResponseController.
func (w *formed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// busy counts the uploads that bring bytes.
type busy struct {
	mu  sync.Mutex
	all int
	of  map[chat.UserID]int
}

func (b *busy) enter(id chat.UserID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == uploadsAtOnce || b.of[id] == uploadsEach {
		return false
	}
	b.all++
	b.of[id]++
	return true
}

func (b *busy) leave(id chat.UserID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.of[id]--; b.of[id] == 0 {
		delete(b.of, id)
	}
}

// tusStore is the uploads as the library wants to see them.
type tusStore struct {
	chat   *chat.Service
	logger *slog.Logger
	// pieceTime is how long a client may take for a piece.
	pieceTime time.Duration
	// sight is how long an upload goes on until it is asked again who brings it.
	sight time.Duration
}

var (
	_ handler.DataStore           = tusStore{}
	_ handler.TerminaterDataStore = tusStore{}
)

// NewUpload is not for here: uploads are announced to the API.
func (s tusStore) NewUpload(context.Context, handler.FileInfo) (handler.Upload, error) {
	return nil, handler.ErrNotImplemented
}

// GetUpload finds an upload of whoever asks.
func (s tusStore) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return nil, handler.ErrNotFound
	}
	return &tusUpload{store: s, visit: ctx.Value(visitKey{}).(visit), id: chat.FileID{UUID: parsed}}, nil
}

// AsTerminatableUpload says that uploads can be given up.
func (s tusStore) AsTerminatableUpload(upload handler.Upload) handler.TerminatableUpload {
	return upload.(*tusUpload)
}

// answer is an error as the library hands it on, in the form of the API.
func (s tusStore) answer(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if failure := new(chat.Error); errors.As(err, &failure) && failure.Code == chat.CodeNotFound {
		return typed(http.StatusNotFound, string(chat.CodeNotFound), "There is no such file.")
	}
	if errors.Is(err, chat.ErrSignedOut) {
		return typed(http.StatusUnauthorized, codeUnauthenticated, signInFirst)
	}
	return typed(answerOf(ctx, s.logger, err))
}

func typed(status int, code, message string) error {
	headers := handler.HTTPHeader{"Content-Type": "application/json"}
	switch status {
	case http.StatusServiceUnavailable:
		headers["Retry-After"] = "1"
	case http.StatusUnauthorized:
		headers["WWW-Authenticate"] = challenge
	}
	return handler.Error{ErrorCode: code, Message: message, HTTPResponse: handler.HTTPResponse{
		StatusCode: status, Body: string(refusal(extensions{Code: code}, message)), Header: headers,
	}}
}

// tusUpload is one upload.
type tusUpload struct {
	store tusStore
	visit visit
	id    chat.FileID
}

// GetInfo tells how far it is. Of one that was refused it tells why.
func (u *tusUpload) GetInfo(ctx context.Context) (handler.FileInfo, error) {
	upload, err := u.store.chat.UploadOf(ctx, u.visit.actor, u.id)
	if err == nil && upload.State == chat.FileRefused {
		err = upload.Refusal()
	}
	if err != nil {
		return handler.FileInfo{}, u.store.answer(ctx, err)
	}
	return handler.FileInfo{ID: u.id.String(), Size: upload.Length, Offset: upload.Received}, nil
}

// WriteChunk takes bytes piece by piece. What it says was written is safe.
func (u *tusUpload) WriteChunk(ctx context.Context, offset int64, from io.Reader) (int64, error) {
	var written int64
	piece := make([]byte, chat.MaxPiece)
	asked := time.Now()
	for {
		n, err := readPiece(from, piece, u.store.pieceTime)
		if time.Since(asked) > u.store.sight {
			if again := u.visit.again(context.WithoutCancel(ctx)); again != nil {
				return written, u.store.answer(ctx, again)
			}
			asked = time.Now()
		}
		if n > 0 {
			if received := u.receive(ctx, offset+written, piece[:n]); received != nil {
				return written, u.store.answer(ctx, received)
			}
			written += int64(n)
		}
		switch {
		case errors.Is(err, errSlow):
			return written, u.store.answer(ctx, tooSlow)
		case err != nil: // the body is over; the library knows whether it was cut short
			return written, nil
		}
	}
}

var errSlow = errors.New("a piece takes too long")

// readPiece fills a piece as far as the body goes, for a time.
func readPiece(from io.Reader, piece []byte, limit time.Duration) (n int, err error) {
	for began := time.Now(); n < len(piece) && err == nil; {
		var more int
		more, err = from.Read(piece[n:])
		n += more
		if err == nil && time.Since(began) > limit {
			err = errSlow
		}
	}
	return n, err
}

// receive keeps a piece, also of a client that is gone by now.
func (u *tusUpload) receive(ctx context.Context, at int64, piece []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), receiveTime)
	defer cancel()
	return u.store.chat.ReceivePiece(ctx, u.visit.actor, u.id, at, piece)
}

// GetReader is not for here: downloads have addresses of their own.
func (u *tusUpload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.ErrNotImplemented
}

// FinishUpload has nothing to do: the last piece did.
func (u *tusUpload) FinishUpload(context.Context) error { return nil }

// Terminate gives the upload up.
func (u *tusUpload) Terminate(ctx context.Context) error {
	return u.store.answer(ctx, u.store.chat.DropUpload(ctx, u.visit.actor, u.id))
}
