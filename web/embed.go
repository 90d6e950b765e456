// Package web is the web client: the chat as an element for host pages, a page of our own around it, and
// the explorer of the API. It is written in TypeScript and built with Node.js into dist; this package embeds
// what is there when the program is built, and serves it.
//
// Nothing in it is a secret or depends on who asks, so it is served from the first moment on. Names are looked up
// among those that were built, never joined to a path. Pages get a policy by which a browser runs and loads
// only what comes from here.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"corridor/internal/transfer"
)

//go:embed all:dist
var embedded embed.FS

// module is what host pages load, under a name that stays.
const module = "corridor.js"

// pages are the addresses of pages, which bear no extension.
var pages = map[string]string{"/": "index.html", "/explorer": "explorer.html", "/example": "example.html"}

// Included tells whether the client is in this program. One that was built without Node.js has none.
func Included() bool { return included(dist()) }

func included(files fs.FS) bool {
	_, err := fs.Stat(files, pages["/"])
	return err == nil
}

func dist() fs.FS {
	files, err := fs.Sub(embedded, "dist")
	if err != nil {
		panic(err) // the name is a good one
	}
	return files
}

// Options are what serving the client needs.
type Options struct {
	// Files are the client as it was built; those in the program if it is nil.
	Files fs.FS
	// StoreOrigin is the origin that downloads are redirected to, which pages must be allowed to follow: "" for
	// none. Pages are not served as long as it is not known.
	StoreOrigin func() (origin string, known bool)
}

// handler serves the client.
type handler struct {
	Options
	files    map[string]*file
	included bool
}

// NewHandler returns what answers at all addresses that nothing else has.
func NewHandler(options Options) http.Handler {
	if options.Files == nil {
		options.Files = dist()
	}
	h := &handler{Options: options, files: map[string]*file{}, included: included(options.Files)}
	err := fs.WalkDir(options.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			mediaType, known := types[path.Ext(name)]
			if !known {
				mediaType = "application/octet-stream"
			}
			h.files[name] = newFile(mediaType, func() []byte { return read(options.Files, name) })
		}
		return err
	})
	if err != nil {
		panic(err) // they are in memory
	}
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, isPage := pages[r.URL.Path]
	if !isPage {
		name = strings.TrimPrefix(r.URL.Path, "/")
	}
	asked := h.files[name]
	missing := asked == nil && !h.included && (isPage || name == module)
	switch {
	case asked == nil && !missing:
		transfer.Refuse(w, http.StatusNotFound, "NOT_FOUND", "There is nothing here. The chat is at /, the explorer of the API at /explorer, the API at /graphql.")
	case refusedMethod(w, r):
	case missing:
		say(w, http.StatusNotImplemented, "This program was built without the web client. <code>make run</code> builds it in"+
			" where Node.js 20.19 or later is installed. The API is at <code>/graphql</code>.")
	case path.Ext(name) == ".html":
		h.servePage(w, r, name, asked)
	default:
		asked.serveTo(w, r, name)
	}
}

func (h *handler) servePage(w http.ResponseWriter, r *http.Request, name string, asked *file) {
	origin, known := h.StoreOrigin()
	if !known {
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Refresh", "1")
		say(w, http.StatusServiceUnavailable, "The server is starting.")
		return
	}
	secure(w.Header(), policy(name, origin))
	w.Header().Set("Cache-Control", "no-cache")
	asked.serve(w, r)
}

// refusedMethod tells whether a request wants something else than to read, and was refused.
func refusedMethod(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	w.Header().Set("Allow", "GET, HEAD")
	transfer.Refuse(w, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "Fetch it with GET.")
	return true
}

// secure keeps a page to itself: what others know of it, may do with it, and it may do.
func secure(header http.Header, policy string) {
	header.Set("Content-Security-Policy", policy)
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	header.Set("Referrer-Policy", "no-referrer")
}

// policy is what a browser may run and load in a page.
func policy(name, storeOrigin string) string {
	style := "'self'"
	if name == pages["/explorer"] { // its editor writes style elements
		style += " 'unsafe-inline'"
	}
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src " + style, "img-src 'self' blob: data:", "media-src blob:", "font-src 'self'",
		"connect-src " + strings.TrimSpace("'self' "+storeOrigin), "worker-src 'self' blob:", "manifest-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; ")
}

// say answers with a page of one sentence.
func say(w http.ResponseWriter, status int, sentence string) {
	secure(w.Header(), "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", types[".html"])
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Corridor</title>\n<h1>Corridor</h1>\n<p>"+sentence+"</p>\n</html>\n")
}

// types are those of what the client consists of: what a system calls them otherwise must not matter.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json", ".map": "application/json",
	".webmanifest": "application/manifest+json",
	".wasm":        "application/wasm",
	".png":         "image/png", ".ico": "image/x-icon", ".webp": "image/webp",
	".woff2": "font/woff2", ".woff": "font/woff", ".ttf": "font/ttf",
	".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".wav": "audio/wav",
}

// file is something to read. It is made, and packed if that makes it smaller, when somebody asks for it first.
type file struct {
	mediaType string
	forms     func() forms
}

// forms are a file as it is and, if it is text, packed by gzip.
type forms struct {
	plain, packed []byte
	tag           string
}

func newFile(mediaType string, content func() []byte) *file {
	return &file{mediaType, sync.OnceValue(func() forms {
		plain := content()
		sum := sha256.Sum256(plain)
		made := forms{plain: plain, tag: hex.EncodeToString(sum[:16])}
		if isText(mediaType) {
			if packed := pack(plain); len(packed) < len(plain) {
				made.packed = packed
			}
		}
		return made
	})}
}

func read(files fs.FS, name string) []byte {
	content, err := fs.ReadFile(files, name)
	if err != nil {
		panic(err) // it is in memory
	}
	return content
}

// NewDocument returns what serves one document at a stable address, to whoever asks and to pages of any origin. It is made
// once, when somebody asks first, and tagged, so that who has it hears that it is the same.
func NewDocument(mediaType string, content func() []byte) http.Handler {
	document := newFile(mediaType, content)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusedMethod(w, r) {
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=60")
		openToPages(w.Header())
		document.serve(w, r)
	})
}

// openToPages lets pages of any origin read an answer.
func openToPages(header http.Header) {
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func isText(mediaType string) bool {
	return strings.HasPrefix(mediaType, "text/") || strings.HasPrefix(mediaType, "image/svg") ||
		strings.HasPrefix(mediaType, "application/json") || strings.HasPrefix(mediaType, "application/manifest")
}

func pack(plain []byte) []byte {
	var packed bytes.Buffer
	packer, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is a good one
	_, _ = packer.Write(plain)                                      // a buffer takes everything
	_ = packer.Close()
	return packed.Bytes()
}

// serveTo serves what is not a page: to pages of any origin what host pages load.
func (f *file) serveTo(w http.ResponseWriter, r *http.Request, name string) {
	hashed := strings.HasPrefix(name, "assets/")
	switch {
	case hashed: // in its name, so another content has another
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	case name == module:
		w.Header().Set("Cache-Control", "public, max-age=60")
	default:
		w.Header().Set("Cache-Control", "no-cache")
	}
	if hashed || name == module {
		openToPages(w.Header())
	}
	f.serve(w, r)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	forms := f.forms()
	content, tag := forms.plain, forms.tag
	if forms.packed != nil {
		w.Header().Set("Vary", "Accept-Encoding")
		if takesGzip(r) {
			content, tag = forms.packed, tag+"-gzip"
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		}
	}
	w.Header().Set("Content-Type", f.mediaType)
	w.Header().Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// takesGzip reads Accept-Encoding, in which a coding of the weight 0 is one that is refused.
func takesGzip(r *http.Request) bool {
	for offer := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		if coding, parameters, err := mime.ParseMediaType(offer); err == nil && coding == "gzip" {
			weight, err := strconv.ParseFloat(parameters["q"], 64)
			return err != nil || weight > 0
		}
	}
	return false
}
