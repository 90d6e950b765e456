package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var long = strings.Repeat("the same again, ", 100)

// built is a client as it comes out of a build.
func built() fstest.MapFS {
	files := fstest.MapFS{".gitkeep": {}, "icon.svg": {Data: []byte("<svg/>")}}
	for _, name := range []string{"index.html", "explorer.html", "example.html", "corridor.js", "assets/page-Ct4VD1M7.css", "assets/codicon-ngg6Pgfi.ttf"} {
		files[name] = &fstest.MapFile{Data: []byte(name + long)}
	}
	return files
}

func client(files fstest.MapFS) http.Handler {
	return NewHandler(Options{Files: files, StoreOrigin: func() (string, bool) { return "", true }})
}

// gets asks for an address. A header is "Name: value".
func gets(handler http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	return asks(handler, http.MethodGet, path, headers...)
}

func asks(handler http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, "/", nil)
	request.URL.Path = path
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Add(name, value)
	}
	answer := httptest.NewRecorder()
	answer.Header().Set("Cache-Control", "no-store") // as the server does before it asks
	handler.ServeHTTP(answer, request)
	return answer
}

func TestEveryAddressHasItsHeaders(t *testing.T) {
	t.Parallel()
	const (
		html   = "text/html; charset=utf-8"
		script = "text/javascript; charset=utf-8"
		strict = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; font-src 'self'; connect-src 'self'; " +
			"worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	)
	explorers := strings.Replace(strict, "style-src 'self'", "style-src 'self' 'unsafe-inline'", 1)
	page := func(policy string) map[string]string {
		return map[string]string{
			"Content-Type": html, "Cache-Control": "no-cache", "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
		}
	}
	open := func(mediaType, caching string) map[string]string {
		return map[string]string{
			"Content-Type": mediaType, "Cache-Control": caching, "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
		}
	}
	const forever = "public, max-age=31536000, immutable"
	handler := client(built())
	for path, test := range map[string]struct {
		is      string
		headers map[string]string
	}{
		"/":                            {"index.html", page(strict)},
		"/example":                     {"example.html", page(strict)},
		"/explorer":                    {"explorer.html", page(explorers)},
		"/explorer.html":               {"explorer.html", page(explorers)},
		"/corridor.js":                 {"corridor.js", open(script, "public, max-age=60")},
		"/assets/page-Ct4VD1M7.css":    {"assets/page-Ct4VD1M7.css", open("text/css; charset=utf-8", forever)},
		"/assets/codicon-ngg6Pgfi.ttf": {"assets/codicon-ngg6Pgfi.ttf", open("font/ttf", forever)},
		"/icon.svg":                    {"<svg/>", map[string]string{"Content-Type": "image/svg+xml", "Cache-Control": "no-cache"}},
	} {
		answer := gets(handler, path)

		if answer.Code != http.StatusOK || !strings.HasPrefix(answer.Body.String(), test.is) {
			t.Errorf("%s is answered with %d %.40s", path, answer.Code, answer.Body)
		}
		if answer.Header().Get("ETag") == "" {
			t.Errorf("%s has no tag", path)
		}
		for _, name := range slices.Sorted(maps.Keys(page(""))) {
			if got := answer.Header().Get(name); got != test.headers[name] {
				t.Errorf("%s has %s: %q, want %q", path, name, got, test.headers[name])
			}
		}
		for _, name := range []string{"Access-Control-Allow-Origin", "Cross-Origin-Resource-Policy"} {
			if got := answer.Header().Get(name); got != test.headers[name] {
				t.Errorf("%s has %s: %q, want %q", path, name, got, test.headers[name])
			}
		}

		if head := asks(handler, http.MethodHead, path); head.Code != http.StatusOK || head.Body.Len() > 0 || !maps.EqualFunc(head.Header(), answer.Header(), slices.Equal) {
			t.Errorf("%s: the head is %d %v %.40s, not %v", path, head.Code, head.Header(), head.Body, answer.Header())
		}
		if post := asks(handler, http.MethodPost, path); post.Code != http.StatusMethodNotAllowed || post.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: a post is answered with %d %s", path, post.Code, post.Body)
		}
	}
}

func TestPagesMayFollowDownloadsToTheStore(t *testing.T) {
	t.Parallel()
	origin, known := "", false
	handler := NewHandler(Options{Files: built(), StoreOrigin: func() (string, bool) { return origin, known }})

	// Without knowing they could not follow for as long as they are open.
	if answer := gets(handler, "/"); answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Refresh") == "" || answer.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("as long as it is not known where, a page is answered with %d %v", answer.Code, answer.Header())
	}
	if answer := gets(handler, "/corridor.js"); answer.Code != http.StatusOK {
		t.Errorf("as long as it is not known where, the module is answered with %d", answer.Code)
	}
	origin, known = "https://s3.example:9000", true
	for _, path := range []string{"/", "/example", "/explorer"} {
		if policy := gets(handler, path).Header().Get("Content-Security-Policy"); !strings.Contains(policy, "; connect-src 'self' https://s3.example:9000; ") {
			t.Errorf("the policy of %s is %s", path, policy)
		}
	}
}

func TestTextIsPackedForWhoTakesIt(t *testing.T) {
	t.Parallel()
	handler := client(built())
	for path, is := range map[string]string{"/": "index.html" + long, "/corridor.js": "corridor.js" + long, "/assets/page-Ct4VD1M7.css": "assets/page-Ct4VD1M7.css" + long} {
		for _, takes := range []string{"gzip", "deflate, gzip;q=0.5, br", "GZIP;q=1.0"} {
			answer := gets(handler, path, "Accept-Encoding: "+takes)

			if answer.Header().Get("Content-Encoding") != "gzip" || answer.Header().Get("Vary") != "Accept-Encoding" || answer.Body.Len() >= len(is) {
				t.Errorf("to who takes %s %s is answered with %v", takes, path, answer.Header())
				continue
			}
			unpacked, err := gzip.NewReader(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(unpacked); string(got) != is || err != nil {
				t.Errorf("%s unpacks to %.40q, %v", path, got, err)
			}
		}
		for _, takes := range []string{"", "br", "gzip;q=0", "gzip; q=0.000, identity", "x-gzip", ";;,"} {
			answer := gets(handler, path, "Accept-Encoding: "+takes)
			if answer.Header().Get("Content-Encoding") != "" || answer.Header().Get("Vary") != "Accept-Encoding" || answer.Body.String() != is {
				t.Errorf("to who takes %q %s is answered with %v", takes, path, answer.Header())
			}
		}
	}
	for what, path := range map[string]string{"a font": "/assets/codicon-ngg6Pgfi.ttf", "what would be larger": "/icon.svg", "what is not there": "/x"} {
		if answer := gets(handler, path, "Accept-Encoding: gzip"); answer.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s is packed", what)
		}
	}
}

func TestWhatABrowserHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	handler := client(built())
	for _, path := range []string{"/", "/corridor.js", "/assets/page-Ct4VD1M7.css", "/icon.svg"} {
		for _, takes := range []string{"Accept-Encoding: gzip", "Accept-Encoding: identity"} {
			first := gets(handler, path, takes)

			again := gets(handler, path, takes, "If-None-Match: "+first.Header().Get("ETag"))

			if again.Code != http.StatusNotModified || again.Body.Len() > 0 || again.Header().Get("Cache-Control") != first.Header().Get("Cache-Control") {
				t.Errorf("%s is answered with %d %v", path, again.Code, again.Header())
			}
		}
	}
	packed, plain := gets(handler, "/", "Accept-Encoding: gzip").Header().Get("ETag"), gets(handler, "/").Header().Get("ETag")
	if packed == plain {
		t.Errorf("packed or not, the tag is %s", plain)
	}
	changed := built()
	changed["index.html"] = &fstest.MapFile{Data: []byte("another" + long)}
	if answer := gets(client(changed), "/", "If-None-Match: "+plain); answer.Code != http.StatusOK {
		t.Errorf("what has changed is answered with %d", answer.Code)
	}
}

func TestNothingElseIsThere(t *testing.T) {
	t.Parallel()
	for _, handler := range []http.Handler{client(built()), client(fstest.MapFS{".gitkeep": {}})} {
		for _, path := range []string{
			"/x", "/index", "/explorer/", "/assets", "/assets/", "/assets/page.css", "/.gitkeep", "/../embed.go", "/assets/../../embed.go", "/assets/..", "//etc/passwd",
			"/..\\embed.go", "/corridor.js/", "/corridor.js\x00", "", ".",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				answer := asks(handler, method, path)
				if answer.Code != http.StatusNotFound || !strings.Contains(answer.Body.String(), `"code":"NOT_FOUND"`) || answer.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%s %q is answered with %d %.80s", method, path, answer.Code, answer.Body)
				}
			}
		}
	}
}

func TestAProgramWithoutTheClientSaysHowToHaveIt(t *testing.T) {
	t.Parallel()
	handler := client(fstest.MapFS{".gitkeep": {}})
	for _, path := range []string{"/", "/explorer", "/example", "/corridor.js"} {
		answer := gets(handler, path)

		if answer.Code != http.StatusNotImplemented || answer.Header().Get("Content-Type") != "text/html; charset=utf-8" || answer.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s is answered with %d %v", path, answer.Code, answer.Header())
		}
		for _, word := range []string{"make run", "Node.js 20.19 or later", "/graphql"} {
			if !bytes.Contains(answer.Body.Bytes(), []byte(word)) {
				t.Errorf("%s does not say %q: %s", path, word, answer.Body)
			}
		}
	}
}

// Whether it was built or not, what is in this program can be served.
func TestTheClientOfThisProgramIsServed(t *testing.T) {
	t.Parallel()
	want := http.StatusOK
	if !Included() {
		want = http.StatusNotImplemented
	}
	handler := NewHandler(Options{StoreOrigin: func() (string, bool) { return "", true }})
	for _, path := range []string{"/", "/corridor.js"} {
		if answer := gets(handler, path); answer.Code != want {
			t.Errorf("%s is answered with %d", path, answer.Code)
		}
	}
}
