package transfer

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"corridor/internal/chat"
)

// addressLife is how long a store may be asked for a file by an address that it signed itself: as long as a
// client takes to follow a redirect.
const addressLife = 15 * time.Second

// inline are the types that a browser may show by itself. None of them runs anything in the page's origin.
var inline = []string{"image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp", "application/pdf", "text/plain", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "video/mp4", "video/webm"}

// active are types that could run something: they are never named to a browser.
var active = []string{"image/svg+xml", "text/html", "application/xhtml+xml", "text/xml", "application/xml", "text/javascript", "application/javascript"}

// download gives a part of a file, whole or in ranges.
func (t *transfers) download(w http.ResponseWriter, r *http.Request, as visit, part chat.FilePart) {
	sight := chat.FileSight(r.PathValue("sight"))
	content, err := t.Chat.OpenFile(r.Context(), as.actor, as.file, part, sight)
	if err != nil {
		t.fail(w, r, err)
		return
	}
	mediaType, disposition := presented(content)
	address, err := content.Address(r.Context(), addressLife, mediaType, disposition)
	if err != nil {
		t.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "private, no-store")
	if address != "" && r.Method == http.MethodGet { // which it is signed for
		http.Redirect(w, r, address, http.StatusFound)
		return
	}
	reader := &reader{ctx: r.Context(), content: content, sight: t.Patience.Sight, asked: time.Now(), again: func(ctx context.Context) error {
		if err := as.again(ctx); err != nil {
			return err
		}
		_, err := t.Chat.OpenFile(ctx, as.actor, as.file, part, sight)
		return err
	}}
	defer reader.Close()
	// Opened before anything is said, so that a store that is away is not half an answer.
	if _, err := reader.Read(nil); err != nil {
		t.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Disposition", disposition)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("ETag", `"`+content.Tag+`"`)
	if strings.Contains(r.Header.Get("Range"), ",") {
		// Of several ranges all is sent: put together they would be read by another goroutine, beyond the end of this.
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	http.ServeContent(&patient{w, http.NewResponseController(w), t.Patience.Write, false}, r, "", time.Time{}, reader)
	if reader.failed != nil && r.Context().Err() == nil {
		if failure := new(chat.Error); !errors.As(reader.failed, &failure) && !errors.Is(reader.failed, chat.ErrSignedOut) {
			t.Logger.ErrorContext(r.Context(), "a download broke off", "file", as.file, "error", chat.Describe(reader.failed))
		}
		panic(http.ErrAbortHandler) // the client must see that it is not whole
	}
}

// presented says as what a browser gets a file.
func presented(content *chat.Content) (mediaType, disposition string) {
	mediaType, kind := content.MediaType, "attachment"
	switch {
	case slices.Contains(active, mediaType):
		mediaType = "application/octet-stream"
	case slices.Contains(inline, mediaType):
		kind = "inline"
	}
	if content.Charset != "" && strings.HasPrefix(mediaType, "text/") {
		mediaType += "; charset=" + content.Charset
	}
	return mediaType, mime.FormatMediaType(kind, map[string]string{"filename": content.Name})
}

// reader reads a file from where it is asked to, as long as its person may.
type reader struct {
	ctx     context.Context //nolint:containedctx // http.ServeContent knows only io.ReadSeeker
	content *chat.Content
	again   func(ctx context.Context) error
	sight   time.Duration
	asked   time.Time
	at      int64
	open    io.ReadCloser
	failed  error
}

func (r *reader) Read(to []byte) (int, error) {
	if r.failed != nil {
		return 0, r.failed
	}
	if time.Since(r.asked) > r.sight {
		if r.failed = r.again(r.ctx); r.failed != nil {
			return 0, r.failed
		}
		r.asked = time.Now()
	}
	if r.open == nil {
		if r.at >= r.content.Size {
			return 0, io.EOF
		}
		if r.open, r.failed = r.content.Open(r.ctx, r.at); r.failed != nil {
			return 0, r.failed
		}
	}
	if len(to) == 0 {
		return 0, nil
	}
	n, err := r.open.Read(to)
	r.at += int64(n)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.EOF) && r.at < r.content.Size {
		r.failed = errors.Join(err, io.ErrUnexpectedEOF)
		return n, r.failed
	}
	return n, err
}

// Seek implements io.Seeker.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.content.Size
	}
	if offset < 0 {
		return 0, errors.New("there is nothing before the beginning")
	}
	if offset != r.at {
		r.Close()
		r.at = offset
	}
	return offset, nil
}

// Close lets go of the store.
func (r *reader) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}

// patient gives a client time for each write, not for the whole answer. It hides io.ReaderFrom, by which all would be one write.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	time    time.Duration
	refused bool
}

// WriteHeader gives the one failure that http.ServeContent has the form of the API.
func (w *patient) WriteHeader(status int) {
	if w.refused = status == http.StatusRequestedRangeNotSatisfiable; !w.refused {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	for _, header := range []string{"Content-Disposition", "Content-Length", "ETag"} {
		w.Header().Del(header)
	}
	Refuse(w.ResponseWriter, status, "RANGE_NOT_SATISFIABLE", "The file has no such bytes.")
}

func (w *patient) Write(from []byte) (int, error) {
	if w.refused {
		return len(from), nil
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(w.time)) // without, the server's own stays
	return w.ResponseWriter.Write(from)
}
