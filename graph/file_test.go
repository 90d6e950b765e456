package graph_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"corridor/graph/scalar"
	"corridor/internal/auth"
	"corridor/internal/blob"
	"corridor/internal/chat"
	"corridor/internal/clamav"
	"corridor/internal/clamavtest"
	"corridor/internal/media"
	"corridor/internal/pgtest"
	"corridor/internal/s3test"
	"corridor/internal/transfer"
)

// useFiles has an instance take files, on the disk of the world.
func (w *world) useFiles(ctx context.Context, service *chat.Service) {
	w.t.Helper()
	store, err := blob.Open(ctx, w.files, blob.Options{Credentials: w.credentials})
	if err != nil {
		w.t.Fatal(err)
	}
	service.UseFiles(chat.Files{Store: store, MaxSize: 100 * chat.Megabyte, Types: media.DefaultTypes(), Scanner: w.scanner})
	if err := service.ClaimFiles(ctx, false); err != nil {
		w.t.Fatal(err)
	}
}

// note is a file that anybody may have.
const note = "Room 1: two pillows.\nRoom 2: none.\n"

// announces is createUpload: the id of the file and where its bytes go.
func (p *person) announces(name, mediaType string, size int) (id, url string) {
	p.world.t.Helper()
	file := p.did("createUpload", vars{"name": name, "mediaType": mediaType, "size": size}, "file { id upload { url } }").at("file")
	return file.text("id"), file.text("upload.url")
}

// answered is what came back of a request for bytes.
type answered struct {
	status int
	header http.Header
	body   string
}

func (a answered) code() string {
	var refused answer
	_ = json.Unmarshal([]byte(a.body), &refused)
	return refused.code()
}

// transfers sends a request about a file to where the person is.
func (p *person) transfers(method, url string, body io.Reader, headers ...string) answered {
	p.world.t.Helper()
	request, err := http.NewRequestWithContext(p.world.t.Context(), method, p.at.server.URL+url, body)
	if err != nil {
		p.world.t.Fatal(err)
	}
	if p.token != "" {
		request.Header.Set("Authorization", "Bearer "+p.token)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return answered{body: err.Error()}
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return answered{status: response.StatusCode, header: response.Header, body: err.Error()}
	}
	return answered{response.StatusCode, response.Header, string(got)}
}

// patches brings bytes to an upload, from a place on.
func (p *person) patches(url string, at int, content []byte) answered {
	p.world.t.Helper()
	return p.transfers(http.MethodPatch, url, bytes.NewReader(content), "Tus-Resumable", "1.0.0",
		"Upload-Offset", strconv.Itoa(at), "Content-Type", "application/offset+octet-stream")
}

// uploads brings a whole file; its id is returned.
func (p *person) uploads(name, mediaType string, content []byte) string {
	p.world.t.Helper()
	id, url := p.announces(name, mediaType, len(content))
	if got := p.patches(url, 0, content); got.status != http.StatusNoContent {
		p.world.t.Fatalf("%s: the upload of %s answered %d %s", p.name, name, got.status, got.body)
	}
	return id
}

// uploadsInVain brings a whole file that is refused; the code is returned. The file says the same afterwards.
func (p *person) uploadsInVain(name, mediaType string, content []byte) string {
	p.world.t.Helper()
	id, url := p.announces(name, mediaType, len(content))
	got := p.patches(url, 0, content)
	if file := p.file(id, "state refusal { code } upload { url } download { url } sha256"); file.text("state") != "REFUSED" ||
		file.text("refusal.code") != got.code() || file.text("upload.url")+file.text("download.url")+file.text("sha256") != "" {
		p.world.t.Errorf("%s: the upload answered %d %s, and the file is %v", name, got.status, got.body, file.value)
	}
	if p.isRefusedFile(id) != got.code() {
		p.world.t.Errorf("%s was refused with %s, and could be sent", name, got.code())
	}
	return got.code()
}

// isRefusedFile is the code with which a message that names the file is refused.
func (p *person) isRefusedFile(id string) string {
	p.world.t.Helper()
	somewhere := p.sees(`{ viewer { contacts(first: 1) { nodes { user { id } } } } }`, nil).text("viewer.contacts.nodes.0.user.id")
	group := p.did("createGroup", vars{"name": "Somewhere", "userIds": []string{somewhere}}, "group { id }").text("group.id")
	return p.does("sendMessage", vars{"conversationId": group, "fileIds": []string{id}}, "").text("userErrors.0.code")
}

// sendsFile sends a message with files.
func (p *person) sendsFile(to, body string, files ...string) string {
	p.world.t.Helper()
	return p.did("sendMessage", vars{"conversationId": to, "body": body, "fileIds": files}, "message { id }").text("message.id")
}

// file is a selection of a file, by its id.
func (p *person) file(id, selection string) thing {
	p.world.t.Helper()
	return p.sees(`query ($id: ID!) { node(id: $id) { ... on File { `+selection+` } } }`, vars{"id": id}).at("node")
}

// address is where the person may download the file, empty if nowhere.
func (p *person) address(id string) string {
	p.world.t.Helper()
	return p.file(id, "download { url }").text("download.url")
}

// downloads gets the file by an address.
func (p *person) downloads(url string, headers ...string) answered {
	p.world.t.Helper()
	return p.transfers(http.MethodGet, url, nil, headers...)
}

func TestS24AFileIsSentAndSeenByWhoSeesTheMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob", "Carl")
	ann, bob, carl := people[0], people[1], people[2]
	group := ann.group("Beds", bob)
	stream := bob.follows()

	id := ann.uploads("../Ward/beds.txt", "text/plain", []byte(note))
	message := ann.sendsFile(group, "", id)

	digest := sha256.Sum256([]byte(note))
	heard := stream.event().at("message.files.0")
	if heard.text("name") != "beds.txt" || heard.number("size") != len(note) || heard.text("sha256") != hex.EncodeToString(digest[:]) {
		t.Errorf("bob heard of %v", heard.value)
	}
	if got := bob.downloads(heard.text("download.url")); got.status != http.StatusOK || got.body != note {
		t.Errorf("bob got %d %q", got.status, got.body)
	}
	seen := bob.looksAt(group, "messages(last: 1) { nodes { id text files { id name state mediaType scan width pageCount thumbnail { url } upload { url } } } }").at("messages.nodes.0")
	if seen.text("id") != message || seen.text("text") != "" || seen.text("files.0.id") != id || seen.text("files.0.state") != "READY" ||
		seen.text("files.0.mediaType") != "text/plain" || seen.text("files.0.scan")+seen.text("files.0.width")+seen.text("files.0.pageCount")+seen.text("files.0.thumbnail")+seen.text("files.0.upload") != "" {
		t.Errorf("bob sees %v", seen.value)
	}
	if got := carl.file(id, "name"); got.value != nil {
		t.Errorf("carl, who is not in the group, sees %v", got.value)
	}
}

func TestS24AnUploadGoesOnWhereItBrokeOffOnAnyInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.people("Desk", "Ann", "Bob")[0]
	second := w.instance()
	content := bytes.Repeat([]byte("a line of a long report\n"), 200_000) // almost five pieces
	id, url := ann.announces("report.txt", "text/plain", len(content))

	// The connection breaks in the middle: what is promised is more than what comes.
	ann.breaksOff(url, content[:3<<20])
	if got := ann.file(id, "state sha256 upload { receivedSize }"); got.text("state") != "UPLOADING" || got.number("upload.receivedSize") < 2<<20 || got.text("sha256") != "" {
		t.Errorf("half of it is there, and it is %v", got.value)
	}
	check(t, "half a file can be sent", ann.isRefusedFile(id), "FILE_NOT_READY")
	ann.at = second
	ann.resumes(url, content)

	check(t, "the file", ann.downloads(ann.address(id)).body == string(content), true)
	if left, _ := filepath.Glob(filepath.Join(w.files, "*pieces*", "*")); len(left) > 0 {
		t.Errorf("pieces are left: %v", left)
	}
	ann.patches(url, len(content), []byte("more"))
	check(t, "what is whole takes more", ann.isAt(url), len(content))
}

// breaksOff begins to bring bytes and goes away behind those.
func (p *person) breaksOff(url string, content []byte) {
	p.world.t.Helper()
	ctx, cancel := context.WithCancel(p.world.t.Context())
	defer cancel()
	body, end := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, p.at.server.URL+url, body)
	if err != nil {
		p.world.t.Fatal(err)
	}
	request.ContentLength = int64(len(content)) + 1000
	for name, value := range map[string]string{"Authorization": "Bearer " + p.token, "Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"} {
		request.Header.Set(name, value)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response, err := (&http.Transport{}).RoundTrip(request); err == nil {
			response.Body.Close()
		}
	}()
	if _, err := end.Write(content); err != nil {
		p.world.t.Fatal(err)
	}
	cancel()
	end.CloseWithError(io.ErrUnexpectedEOF)
	<-gone
	// What came before the end is taken: wait until the server has noticed.
	p.world.eventually("the server keeps what came", func() bool { return p.isAt(url) >= len(content)-chat.MaxPiece })
}

// resumes brings what is left of an upload. The server may not have noticed yet that the last try is over, and take
// more of it meanwhile.
func (p *person) resumes(url string, content []byte) {
	p.world.t.Helper()
	p.world.eventually("the rest of the upload", func() bool {
		at := p.isAt(url)
		return at == len(content) || p.patches(url, at, content[at:]).status == http.StatusNoContent
	})
}

// eventually waits for what another goroutine of the server does by itself.
func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for giveUp := time.After(patience); !is(); {
		select {
		case <-giveUp:
			w.t.Fatalf("%s: it does not come", what)
		case <-again.C:
		}
	}
}

// isAt is how much of an upload is safe.
func (p *person) isAt(url string) int {
	p.world.t.Helper()
	got := p.transfers(http.MethodHead, url, nil, "Tus-Resumable", "1.0.0")
	at, err := strconv.Atoi(got.header.Get("Upload-Offset"))
	if err != nil || got.status != http.StatusOK {
		p.world.t.Fatalf("%s asked how far the upload is: %d %v", p.name, got.status, got.header)
	}
	return at
}

func TestTwoWhoBringTheSamePieceBringItOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.people("Desk", "Ann", "Bob")[0]
	second := *ann
	second.at = w.instance()
	content := bytes.Repeat([]byte("0123456789abcde\n"), 100_000)
	for range 5 {
		id, url := ann.announces("report.txt", "text/plain", len(content))
		for at := 0; at < len(content); at = ann.isAt(url) {
			var both sync.WaitGroup
			var statuses [2]int
			for i, p := range []*person{ann, &second} {
				both.Go(func() { statuses[i] = p.patches(url, at, content[at:min(at+700_000, len(content))]).status })
			}
			both.Wait()
			if (statuses[0] == http.StatusNoContent) == (statuses[1] == http.StatusNoContent) ||
				statuses[0] != http.StatusConflict && statuses[1] != http.StatusConflict {
				t.Fatalf("they were answered %v", statuses)
			}
		}
		if got := ann.downloads(ann.address(id)); got.body != string(content) {
			t.Fatalf("the file has %d bytes of %d, or others", len(got.body), len(content))
		}
	}
}

func TestE37ALinkIsWorthNothingToAnybodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob", "Carl")
	ann, bob, carl := people[0], people[1], people[2]
	zoe := w.personOf("Hillside", "Zoe", "MA", "Desk")
	group := ann.group("Beds", bob, carl)
	id := ann.uploads("beds.jpeg", "image/jpeg", picture(60, 40))
	other := ann.uploads("others.jpeg", "image/jpeg", picture(50, 40))
	ann.sendsFile(group, "", id, other)
	urls := bob.file(id, "download { url } thumbnail { url }")
	url, thumbnail := urls.text("download.url"), urls.text("thumbnail.url")
	_, upload := ann.announces("next.txt", "text/plain", 4)

	check(t, "bob's own", bob.downloads(url).status, http.StatusOK)
	check(t, "bob's thumbnail", bob.downloads(thumbnail).status, http.StatusOK)
	nobody := *bob
	nobody.token = ""
	late := *bob
	late.token = w.expiredToken(bob.userID.UUID)
	for name, got := range map[string]answered{"nobody": nobody.downloads(url), "somebody whose token is over": late.downloads(url)} {
		if got.status != http.StatusUnauthorized || got.code() != "UNAUTHENTICATED" {
			t.Errorf("%s got %d %s", name, got.status, got.body)
		}
	}
	unknown := bob.downloads("/files/" + chat.FileID{}.String() + "/content/unsent/9999999999/AAAAAAAAAAAAAAAAAAAAAA")
	check(t, "what never was", unknown.status, http.StatusNotFound)
	// /files/{file}/content/{sight}/{expires}/{signature}
	parts, others := strings.Split(url, "/"), strings.Split(bob.address(other), "/")
	with := func(part int, value string) string {
		changed := slices.Clone(parts)
		changed[part] = value
		return strings.Join(changed, "/")
	}
	for name, got := range map[string]answered{
		"the sender":                 ann.downloads(url),
		"another participant":        carl.downloads(url),
		"somebody of another clinic": zoe.downloads(url),
		"another time":               bob.downloads(with(5, "9"+parts[5])),
		"another sight":              bob.downloads(with(4, "1")),
		"another signature":          bob.downloads(with(6, others[6])),
		"no signature":               bob.downloads(with(6, "")),
		"something more":             bob.downloads(url + "/more"),
		"another file":               bob.downloads(with(2, others[2])),
		"the content by a thumbnail": bob.downloads(strings.Replace(thumbnail, "/thumbnail", "/content", 1)),
		"an upload as a download":    ann.downloads(strings.Replace(upload, "/upload", "/content", 1)),
		"bytes to another's upload":  bob.patches(upload, 0, []byte("evil")),
		"giving up another's upload": bob.transfers(http.MethodDelete, upload, nil, "Tus-Resumable", "1.0.0"),
	} {
		if got.status != unknown.status || got.body != unknown.body {
			t.Errorf("%s: %d %s, want %d %s", name, got.status, got.body, unknown.status, unknown.body)
		}
	}
}

func TestE38ALinkThatWasKeptIsWorthNothing(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(ann, bob *person, group, message string) (stillSees bool){
		// What was known stays readable (E9, S54), by a link that is asked for again.
		"removal": func(ann, bob *person, group, _ string) bool { ann.removes(group, bob); return true },
		"leaving": func(_, bob *person, group, _ string) bool { bob.leaves(group); return true },
		"removal and return": func(ann, bob *person, group, _ string) bool {
			ann.removes(group, bob)
			ann.adds(group, bob)
			return true
		},
		"recall": func(ann, _ *person, _, message string) bool {
			ann.did("recallMessage", vars{"messageId": message}, "")
			return false
		},
		"deletion": func(ann, _ *person, group, _ string) bool { ann.deletes(group); return false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			people := w.people("Desk", "Ann", "Bob", "Carl")
			ann, bob := people[0], people[1]
			group := ann.group("Beds", bob, people[2])
			id := ann.uploads("beds.jpeg", "image/jpeg", picture(60, 40))
			message := ann.sendsFile(group, "", id)
			urls := bob.file(id, "download { url } thumbnail { url }")
			check(t, "before", bob.downloads(urls.text("download.url")).status, http.StatusOK)

			stillSees := happens(ann, bob, group, message)

			for _, kept := range []string{urls.text("download.url"), urls.text("thumbnail.url")} {
				if got := bob.downloads(kept); got.status != http.StatusNotFound || got.code() != "NOT_FOUND" {
					t.Errorf("a kept link gave %d", got.status)
				}
			}
			fresh := bob.address(id)
			check(t, "there is a fresh link", fresh != "", stillSees)
			if stillSees {
				check(t, "a fresh link", bob.downloads(fresh).status, http.StatusOK)
			} else if got := bob.file(id, "id"); got.value != nil {
				t.Errorf("the file is still seen: %v", got.value)
			}
		})
	}
}

func TestE38LinksRunOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.people("Desk", "Ann", "Bob")[0]
	id := ann.uploads("beds.txt", "text/plain", []byte(note))
	_, upload := ann.announces("next.txt", "text/plain", 4)

	for url, most := range map[string]time.Duration{ann.address(id): time.Minute, upload: 15 * time.Minute} {
		parts := strings.Split(url, "/")
		path := strings.Join(parts[:len(parts)-2], "/")
		expires, err := strconv.ParseInt(parts[len(parts)-2], 10, 64)
		if left := time.Until(time.Unix(expires, 0)); err != nil || left > most || left < most-30*time.Second {
			t.Errorf("%s is good for %s", path, left)
		}
		over := auth.NewLinks(w.key.Derive("file link")).Sign(path, ann.userID.UUID, time.Now().Add(-time.Second))
		if got := ann.transfers(http.MethodGet, over, nil); got.status != http.StatusGone || got.code() != "LINK_EXPIRED" {
			t.Errorf("%s over: %d %s", path, got.status, got.body)
		}
	}
}

func TestARemovalEndsADownloadThatIsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) {
		w.patience = transfer.DefaultPatience
		w.patience.Sight = time.Nanosecond // it is asked again for each piece that is read
	})
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	group := ann.group("Beds", bob)
	content := bytes.Repeat([]byte("a line of a long report\n"), 1_500_000)
	id := ann.uploads("report.txt", "text/plain", content)
	ann.sendsFile(group, "", id)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, bob.at.server.URL+bob.address(id), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+bob.token)
	response, err := (&http.Transport{}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadFull(response.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}

	ann.deletes(group)
	read, err := io.Copy(io.Discard, response.Body)

	if err == nil || read+1000 >= int64(len(content)) {
		t.Errorf("all %d bytes came (%v)", read+1000, err)
	}
}

func TestASlowSenderKeepsWhatCameAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for name, patience := range map[string]transfer.Patience{
		"silent":      {Silence: 200 * time.Millisecond, Piece: time.Minute},
		"by the byte": {Silence: time.Minute, Piece: 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldIn(t, pgtest.New(t), nil, func(w *world) { w.patience = patience })
			ann := w.people("Desk", "Ann", "Bob")[0]
			_, url := ann.announces("report.txt", "text/plain", 3<<20)
			body, sender := io.Pipe()
			end := make(chan struct{})
			go func() {
				_, _ = sender.Write(make([]byte, 1<<20+100)) // as far as the server takes it
				for every := time.NewTicker(10 * time.Millisecond); name == "by the byte"; {
					select {
					case <-end:
						return
					case <-every.C:
						_, _ = sender.Write([]byte("x"))
					}
				}
			}()

			got := ann.transfers(http.MethodPatch, url, body, "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")

			close(end)
			sender.Close()
			if got.status != http.StatusRequestTimeout || got.code() != "TOO_SLOW" {
				t.Errorf("it was answered %d %s", got.status, got.body)
			}
			if at := ann.isAt(url); at < 1<<20+100 || at > 2<<20 {
				t.Errorf("%d bytes are safe", at)
			}
		})
	}
}

func TestNobodyHoldsMoreThanTheirShareOfTheUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer leave()
	for range 6 {
		_, url := ann.announces("report.txt", "text/plain", 3<<20)
		body, sender := io.Pipe()
		context.AfterFunc(ctx, func() { sender.CloseWithError(io.ErrUnexpectedEOF) })
		request, err := http.NewRequestWithContext(ctx, http.MethodPatch, ann.at.server.URL+url, body)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Authorization": "Bearer " + ann.token, "Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"} {
			request.Header.Set(name, value)
		}
		all.Go(func() {
			if response, err := (&http.Transport{}).RoundTrip(request); err == nil {
				response.Body.Close()
			}
		})
		if _, err := sender.Write(make([]byte, 1<<20+64<<10)); err != nil { // more than a piece: some of it stays in buffers
			t.Fatal(err)
		}
		w.eventually("it is under way", func() bool { return ann.isAt(url) == 1<<20 })
	}

	_, seventh := ann.announces("note.txt", "text/plain", len(note))
	got := ann.patches(seventh, 0, []byte(note))

	if got.status != http.StatusServiceUnavailable || got.code() != "BUSY" || got.header.Get("Retry-After") == "" {
		t.Errorf("it was answered %d %s", got.status, got.body)
	}
	bob.uploads("note.txt", "text/plain", []byte(note))
	leave()
	w.eventually("there is room again", func() bool { return ann.patches(seventh, 0, []byte(note)).status == http.StatusNoContent })
}

func TestDownloadsComeInRangesAndRunNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.people("Desk", "Ann", "Bob")[0]
	id := ann.uploads("Übergabe \"heute\".txt", "text/plain", []byte(note))
	url := ann.address(id)

	whole := ann.downloads(url)
	part := ann.downloads(url, "Range", "bytes=5-9")
	last := ann.downloads(url, "Range", "bytes=-4")
	behind := ann.downloads(url, "Range", "bytes=5000-")
	stale := ann.downloads(url, "Range", "bytes=5-9", "If-Range", `"another"`)
	same := ann.downloads(url, "If-None-Match", whole.header.Get("ETag"))

	for header, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, no-store",
		"Content-Type": "text/plain; charset=utf-8", "Accept-Ranges": "bytes", "Content-Length": strconv.Itoa(len(note)), "Referrer-Policy": "no-referrer",
	} {
		check(t, header, whole.header.Get(header), want)
	}
	disposition, parameters, err := mime.ParseMediaType(whole.header.Get("Content-Disposition"))
	if err != nil || disposition != "inline" || parameters["filename"] != ann.file(id, "name").text("name") {
		t.Errorf("it is presented as %s", whole.header.Get("Content-Disposition"))
	}
	check(t, "a part", part.body, note[5:10])
	check(t, "a part's status", part.status, http.StatusPartialContent)
	check(t, "the last bytes", last.body, note[len(note)-4:])
	check(t, "behind the end", behind.status, http.StatusRequestedRangeNotSatisfiable)
	check(t, "behind the end, why", behind.code(), "RANGE_NOT_SATISFIABLE")
	check(t, "behind the end, its size", behind.header.Get("Content-Range"), "bytes */"+strconv.Itoa(len(note)))
	check(t, "sent there", ann.transfers(http.MethodPost, url, strings.NewReader("x")).code(), "METHOD_NOT_ALLOWED")
	check(t, "of another file", stale.body, note)
	check(t, "what is known", same.status, http.StatusNotModified)
}

// Who may see a file by the API gets its bytes, by an address of their own, and nobody else gets them by any address.
func TestE37AccessToBytes(t *testing.T) {
	t.Parallel()
	d := newStage(t).play(nothingHappens)
	links := map[string]map[string]string{} // file, kind
	keep := func(files ...string) {
		for _, file := range files {
			links[file] = map[string]string{}
			for _, kind := range kinds {
				if p := d.who[kind]; p.token != "" && kind != "expired" {
					links[file][kind] = p.address(d.ids[file])
				}
			}
		}
	}
	keep("file", "gap-file", "after-file", "recalled-file", "unsent-file", "awaited-file", "zoes-file")
	d.playDeleted()
	keep("deleted-file")
	table := readAccess(t, fieldsTable)
	for file, of := range links {
		for _, kind := range kinds {
			p := d.who[kind]
			sees := table["Query.node@"+file][kind] == sees || table["Query.node@"+file][kind] == own
			ready := sees && file != "awaited-file"
			if (of[kind] != "") != ready {
				t.Errorf("%s: %s has the address %q", file, kind, of[kind])
			}
			for owner, url := range of {
				if url == "" {
					continue
				}
				got := p.downloads(url)
				want := http.StatusNotFound
				switch {
				case kind == "anonymous" || kind == "expired":
					want = http.StatusUnauthorized
				case d.who[owner].userID == p.userID:
					want = http.StatusOK
				}
				if got.status != want || want == http.StatusOK && got.body == "" {
					t.Errorf("%s: %s, with the address of %s, got %d, want %d", file, kind, owner, got.status, want)
				}
			}
		}
	}
	// With an address that the server itself signed for them, they still get nothing that is not theirs.
	for file := range links {
		id := fileID(t, d.ids[file])
		for _, kind := range kinds[:8] {
			p := d.who[kind]
			sees := links[file][kind] != ""
			for _, sight := range []chat.FileSight{"unsent", d.sight(d.who["owner"], d.ids["group"])} {
				url, _ := transfer.NewLinks(d.key.Derive("file link")).Download(p.userID, &chat.File{ID: id, Sight: sight}, chat.FileContent)
				if got := p.downloads(url); got.status == http.StatusOK && !sees {
					t.Errorf("%s: %s got it", file, kind)
				}
			}
			upload, _ := transfer.NewLinks(d.key.Derive("file link")).Upload(p.userID, id)
			got := p.transfers(http.MethodHead, upload, nil, "Tus-Resumable", "1.0.0")
			if unsent := file == "unsent-file" || file == "awaited-file"; (got.status == http.StatusOK) != (unsent && kind == "owner") {
				t.Errorf("%s: %s asked how far the upload is: %d", file, kind, got.status)
			}
		}
	}
}

func TestS24WhatIsWrongWithAFileIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.people("Desk", "Ann", "Bob")[0]
	announce := func(changes vars) (code, field string) {
		t.Helper()
		input := vars{"name": "note.txt", "mediaType": "text/plain", "size": len(note)}
		for name, value := range changes {
			input[name] = value
		}
		got := ann.does("createUpload", input, "file { id }")
		if code = got.text("userErrors.0.code"); (code == "") != (got.text("file.id") != "") {
			t.Errorf("%v: %v", changes, got.value)
		}
		return code, got.text("userErrors.0.field.0")
	}
	for _, test := range []struct {
		changes     vars
		code, field string
	}{
		{vars{"size": 0}, "FILE_EMPTY", "size"},
		{vars{"size": -1}, "FILE_EMPTY", "size"},
		{vars{"size": 2 << 30}, "FILE_TOO_LARGE", "size"},
		{vars{"size": 100<<20 + 1}, "FILE_TOO_LARGE", "size"},
		{vars{"size": 100 << 20}, "", ""},
		{vars{"mediaType": "text/html"}, "FILE_NOT_ALLOWED", "mediaType"},
		{vars{"mediaType": "text/markdown"}, "", ""}, // texts go by many names; the bytes decide
		{vars{"mediaType": "application/x-msdownload"}, "FILE_NOT_ALLOWED", "mediaType"},
		{vars{"mediaType": "image/svg+xml"}, "FILE_NOT_ALLOWED", "mediaType"},
		{vars{"mediaType": "picture"}, "INVALID", "mediaType"},
		{vars{"mediaType": strings.Repeat("a", 200) + "/b"}, "INVALID", "mediaType"},
		{vars{"sha256": "abc"}, "INVALID", "sha256"},
		{vars{"sha256": strings.Repeat("g", 64)}, "INVALID", "sha256"},
		{vars{"name": strings.Repeat("n", 5000)}, "INVALID", "name"},
		{vars{"name": "../../etc/passwd"}, "", ""},
		{vars{"name": ""}, "", ""},
		{vars{"clientKey": ""}, "INVALID", "clientKey"},
	} {
		code, field := announce(test.changes)
		if code != test.code || field != test.field {
			t.Errorf("%v: got %s of %s, want %s of %s", test.changes, code, field, test.code, test.field)
		}
	}

	png := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xff\xff\x00\xff\xff\xff\x00\x08\x02\x00\x00\x00")
	png = append(png, 0, 0, 0, 0)
	for name, test := range map[string]struct {
		name, mediaType string
		content         []byte
		code            string
	}{
		"a program that says it is a picture": {"cat.jpeg", "image/jpeg", append([]byte("MZ"), make([]byte, 200)...), "FILE_NOT_ALLOWED"},
		"a picture of another kind":           {"cat.png", "image/png", picture(8, 8), "FILE_TYPE_MISMATCH"},
		"a page that says it is a text":       {"note.txt", "text/plain", []byte("<!DOCTYPE html><html><script>alert(1)</script></html>"), "FILE_NOT_ALLOWED"},
		"a page of no announced type":         {"note.html", "", []byte("<!DOCTYPE html><html></html>"), "FILE_NOT_ALLOWED"},
		"half a picture":                      {"cat.jpeg", "image/jpeg", picture(80, 80)[:400], "FILE_DAMAGED"},
		"a picture of 281 billion pixels":     {"bomb.png", "image/png", png, ""},
	} {
		code := ann.uploadsInVain(name, test.mediaType, test.content)
		if code != test.code && test.code != "" || !strings.HasPrefix(code, "FILE_") {
			t.Errorf("%s: got %s, want %s", name, code, test.code)
		}
	}
	for name, test := range map[string]struct{ name, mediaType, content, becomes, presented string }{
		"a CSV as Windows calls it":   {"beds.csv", "application/vnd.ms-excel", "room;beds\n1;2\n", "text/csv", "text/csv; charset=utf-8"},
		"a CSV of an older program":   {"beds.csv", "text/csv", "Z\xfcrich;2\n", "text/csv", "text/csv"},
		"a text by another name":      {"beds.md", "text/markdown", "# Beds\n", "text/plain", "text/plain; charset=utf-8"},
		"what the client can't tell":  {"beds", "", "Beds\n", "text/plain", "text/plain; charset=utf-8"},
		"letters over the end of one": {"beds.txt", "text/plain", strings.Repeat("é", 40_000), "text/plain", "text/plain; charset=utf-8"},
	} {
		id := ann.uploads(test.name, test.mediaType, []byte(test.content))
		if got := ann.file(id, "mediaType").text("mediaType"); got != test.becomes {
			t.Errorf("%s becomes %s", name, got)
		}
		if got := ann.downloads(ann.address(id)).header.Get("Content-Type"); got != test.presented {
			t.Errorf("%s is presented as %s", name, got)
		}
	}
	wrong := sha256.Sum256([]byte("something else"))
	file := ann.did("createUpload", vars{"name": "note.txt", "mediaType": "text/plain", "size": len(note), "sha256": hex.EncodeToString(wrong[:])}, "file { id upload { url } }").at("file")
	if got := ann.patches(file.text("upload.url"), 0, []byte(note)); got.status != http.StatusUnprocessableEntity || got.code() != "FILE_DIGEST_MISMATCH" {
		t.Errorf("another digest: %d %s", got.status, got.body)
	}
	right := sha256.Sum256([]byte(note))
	file = ann.did("createUpload", vars{"name": "note.txt", "mediaType": "text/plain", "size": len(note), "sha256": strings.ToUpper(hex.EncodeToString(right[:]))}, "file { id upload { url } }").at("file")
	url := file.text("upload.url")
	for name, test := range map[string]struct {
		got    answered
		status int
		code   string
	}{
		"more than was announced": {ann.patches(url, 0, []byte(note+"more")), http.StatusUnprocessableEntity, "FILE_SIZE_MISMATCH"},
		"at another place":        {ann.patches(url, 7, []byte("x")), http.StatusConflict, "UPLOAD_MOVED"},
		"of another protocol":     {ann.transfers(http.MethodPatch, url, strings.NewReader(note)), http.StatusPreconditionFailed, "UNSUPPORTED_VERSION"},
		"as a form":               {ann.transfers(http.MethodPost, url, strings.NewReader(note)), http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"},
		"of no type":              {ann.transfers(http.MethodPatch, url, strings.NewReader(note), "Tus-Resumable", "1.0.0", "Upload-Offset", "0"), http.StatusBadRequest, "INVALID_CONTENT_TYPE"},
		"from nowhere":            {ann.transfers(http.MethodPatch, url, strings.NewReader(note), "Tus-Resumable", "1.0.0", "Content-Type", "application/offset+octet-stream"), http.StatusBadRequest, "INVALID_OFFSET"},
		"with another size":       {ann.transfers(http.MethodPatch, url, strings.NewReader(note), "Tus-Resumable", "1.0.0", "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0", "Upload-Length", "9"), http.StatusNotImplemented, "NOT_IMPLEMENTED"},
	} {
		if test.got.status != test.status || test.got.code() != test.code {
			t.Errorf("%s: got %d %s, want %d %s", name, test.got.status, test.got.body, test.status, test.code)
		}
	}
	check(t, "after all that", ann.patches(url, 0, []byte(note)).status, http.StatusNoContent)

	group := ann.group("Beds", w.clinics[home]["bob@lakeside.example"])
	id := file.text("id")
	eleven := []string{id}
	for range 10 {
		eleven = append(eleven, ann.uploads("note.txt", "text/plain", []byte(note)))
	}
	ann.isRefused("INVALID", "sendMessage", vars{"conversationId": group, "fileIds": eleven})
	ann.isRefused("INVALID", "sendMessage", vars{"conversationId": group, "fileIds": []string{id, id}})
	ann.isRefused("INVALID", "sendMessage", vars{"conversationId": group, "body": " "})
	ann.isRefused("NOT_FOUND", "sendMessage", vars{"conversationId": group, "fileIds": []string{id, "file_nobody"}})
	ann.sendsFile(group, "", eleven[:10]...)
	ann.isRefused("FILE_ALREADY_SENT", "sendMessage", vars{"conversationId": group, "fileIds": []string{id}})
}

func TestS24GivingAnUploadUpMakesRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	w.decides(func(p *chat.Policy) { p.FileQuota = 1 })
	half := bytes.Repeat([]byte("x"), 600<<10)
	id, url := ann.announces("note.txt", "text/plain", len(half))
	check(t, "a second half", bob.isRefused("FILE_QUOTA", "createUpload", vars{"name": "note.txt", "mediaType": "text/plain", "size": len(half)}) != "", true)

	got := ann.transfers(http.MethodDelete, url, nil, "Tus-Resumable", "1.0.0")

	check(t, "it is given up", got.status, http.StatusNoContent)
	whole := ann.uploads("whole.txt", "text/plain", []byte(note))
	up := ann.file(whole, "upload { url receivedSize }").at("upload")
	check(t, "what is whole is at", up.number("receivedSize"), len(note))
	check(t, "what is whole is given up", ann.transfers(http.MethodDelete, up.text("url"), nil, "Tus-Resumable", "1.0.0").status, http.StatusNoContent)
	check(t, "what can be done", ann.transfers(http.MethodOptions, url, nil).header.Get("Tus-Extension"), "termination")
	if file := ann.file(id, "id"); file.value != nil {
		t.Errorf("it is still there: %v", file.value)
	}
	sent := bob.uploads("note.txt", "text/plain", half)
	group := bob.group("Beds", ann)
	bob.sendsFile(group, "", sent)
	check(t, "what is sent counts", ann.isRefused("FILE_QUOTA", "createUpload", vars{"name": "note.txt", "mediaType": "text/plain", "size": len(half)}) != "", true)
	usages, err := w.instances[0].chat.FileUsages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, usage := range usages {
		check(t, "the clinic has", usage, chat.FileUsage{Files: 1, Bytes: int64(len(half))})
	}
}

func TestWhatIsSentIsNotGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	id, url := ann.announces("note.txt", "text/plain", len(note))
	ann.patches(url, 0, []byte(note))
	ann.sendsFile(ann.group("Beds", bob), "", id)

	for _, method := range []string{http.MethodDelete, http.MethodHead} {
		check(t, method, ann.transfers(method, url, nil, "Tus-Resumable", "1.0.0").status, http.StatusNotFound)
	}
	check(t, "the file", bob.downloads(bob.address(id)).body, note)
}

func TestAPersonMayHaveAHundredFilesThatAreNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	var last string
	for range chat.MaxUploads {
		_, last = ann.announces("note.txt", "text/plain", 1)
	}

	ann.does("createUpload", vars{"name": "note.txt", "size": 1}, "")

	check(t, "one more", ann.does("createUpload", vars{"name": "note.txt", "size": 1}, "").text("userErrors.0.code"), "TOO_MANY_UPLOADS")
	bob.announces("note.txt", "text/plain", 1)
	ann.transfers(http.MethodDelete, last, nil, "Tus-Resumable", "1.0.0")
	ann.announces("note.txt", "text/plain", 1)
}

func TestACallWhoseAnswerWasLostAnnouncesOneFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.people("Desk", "Ann", "Bob")[0]
	input := vars{"clientKey": "once", "name": "note.txt", "mediaType": "text/plain", "size": len(note)}
	var ids [8]string
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() { ids[i] = ann.did("createUpload", input, "file { id }").text("file.id") })
	}
	all.Wait()
	for _, id := range ids {
		check(t, "the file", id, ids[0])
	}
	input["size"] = 5
	ann.isRefused("CLIENT_KEY_CONFLICT", "createUpload", input)
}

func TestOfTwoMessagesWithOneFileOneIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	w.instance()
	groups := []string{ann.group("One", bob), ann.group("Two", bob)}
	for range 10 {
		first, second := ann.uploads("note.txt", "text/plain", []byte(note)), ann.uploads("note.txt", "text/plain", []byte(note))
		var both sync.WaitGroup
		var codes [2]string
		for i := range codes {
			both.Go(func() {
				there := *ann
				there.at = w.instances[i]
				files := []string{first, second}
				if i == 1 {
					files = []string{second, first}
				}
				codes[i] = there.does("sendMessage", vars{"conversationId": groups[i], "fileIds": files}, "").text("userErrors.0.code")
			})
		}
		both.Wait()
		if codes != [2]string{"", "FILE_ALREADY_SENT"} && codes != [2]string{"FILE_ALREADY_SENT", ""} {
			t.Fatalf("they were answered %q", codes)
		}
	}
	check(t, "one", strings.Count(bob.looksAt(groups[0], "messages(last: 100) { nodes { files { id } } }").texts("messages.nodes", "files.1.id")+
		bob.looksAt(groups[1], "messages(last: 100) { nodes { files { id } } }").texts("messages.nodes", "files.1.id"), "file_"), 10)
}

// inS3 keeps the files of a world in an S3 server of its own.
func inS3(w *world, options string) *s3test.S3 {
	w.t.Helper()
	server := s3test.Server(w.t)
	w.files, w.credentials = server.Location+options, blob.Credentials{AccessKey: server.AccessKey, SecretKey: server.SecretKey}
	return server
}

func TestS24FilesInS3ServeManyInstances(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) { inS3(w, "") })
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	bob.at = w.instance()
	content := bytes.Repeat([]byte("a line of a long report\n"), 300_000)
	id, url := ann.announces("report.txt", "text/plain", len(content))
	ann.breaksOff(url, content[:3<<20])
	ann.at = w.instance()
	ann.resumes(url, content)
	group := ann.group("Beds", bob)
	scan := ann.uploads("scan.jpeg", "image/jpeg", picture(60, 40))
	ann.sendsFile(group, "", id, scan)

	redirected := bob.downloads(bob.address(id))

	check(t, "the status", redirected.status, http.StatusFound)
	check(t, "what is kept of it", redirected.header.Get("Cache-Control"), "private, no-store")
	// The client goes there without its token, which is not for that server.
	nobody := *bob
	nobody.token, nobody.at = "", &instance{server: &httptest.Server{}}
	got := nobody.downloads(redirected.header.Get("Location"))
	disposition, parameters, _ := mime.ParseMediaType(got.header.Get("Content-Disposition"))
	if got.status != http.StatusOK || got.body != string(content) || disposition != "inline" || parameters["filename"] != "report.txt" ||
		got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("S3 gave %d, %d bytes, %v", got.status, len(got.body), got.header)
	}
	check(t, "a part", nobody.downloads(redirected.header.Get("Location"), "Range", "bytes=2-5").body, string(content[2:6]))
	signed, err := neturl.Parse(redirected.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if life, err := strconv.Atoi(signed.Query().Get("X-Amz-Expires")); err != nil || life > 60 {
		t.Errorf("the address is good for %s seconds", signed.Query().Get("X-Amz-Expires"))
	}
	check(t, "somebody else's", ann.downloads(bob.address(id)).status, http.StatusNotFound)
	kept := bob.address(id)
	ann.deletes(group)
	check(t, "after the end", bob.downloads(kept).status, http.StatusNotFound)
}

func TestAnS3ThatIsAwayHoldsUploadsUpAndLosesNothing(t *testing.T) {
	t.Parallel()
	var server *s3test.S3
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) { server = inS3(w, "&presign=false") })
	ann := w.people("Desk", "Ann", "Bob")[0]
	content := bytes.Repeat([]byte("a line of a long report\n"), 100_000)
	id, url := ann.announces("report.txt", "text/plain", len(content))
	check(t, "a piece", ann.patches(url, 0, content[:1<<20]).status, http.StatusNoContent)

	server.Stop()
	for what, got := range map[string]answered{
		"the next piece": ann.patches(url, 1<<20, content[1<<20:2<<20]),
		"the rest":       ann.patches(url, 1<<20, content[1<<20:]),
	} {
		if got.status != http.StatusServiceUnavailable || got.code() != "INTERNAL" || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "127.0.0.1") {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	check(t, "it is at", ann.isAt(url), 1<<20)
	server.Start()
	ann.resumes(url, content)

	check(t, "the file", ann.downloads(ann.address(id)).body == string(content), true)
	server.Stop()
	if got := ann.downloads(ann.address(id)); got.status != http.StatusServiceUnavailable || got.code() != "INTERNAL" {
		t.Errorf("a download: %d %s", got.status, got.body)
	}
}

func TestS24S3MayBeReachedByTheServerAlone(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) { inS3(w, "&presign=false") })
	ann := w.people("Desk", "Ann", "Bob")[0]
	id := ann.uploads("note.txt", "text/plain", []byte(note))

	whole := ann.downloads(ann.address(id))
	part := ann.downloads(ann.address(id), "Range", "bytes=5-9")

	check(t, "whole", whole.body, note)
	check(t, "its status", whole.status, http.StatusOK)
	check(t, "a part", part.body, note[5:10])
}

// sweeps does what the server does every hour by itself.
func (w *world) sweeps() int {
	w.t.Helper()
	service := w.instances[0].chat
	if _, err := service.Purge(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	removed, err := service.SweepFiles(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return removed
}

// isKept tells whether any bytes of a file are in the store.
func (w *world) isKept(id string) bool {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.files, fileID(w.t, id).String()+"*", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	return len(found) > 0
}

// passes makes everything in a table so much older.
func (w *world) passes(days int) {
	w.t.Helper()
	db := w.database.Open()
	defer db.Close()
	for _, query := range []string{
		`UPDATE files SET created_at = created_at - $1 * interval '1 day'`,
		`UPDATE messages SET recalled_at = recalled_at - $1 * interval '1 day' WHERE recalled_at IS NOT NULL`,
		`UPDATE conversations SET deleted_at = deleted_at - $1 * interval '1 day' WHERE deleted_at IS NOT NULL`,
	} {
		if _, err := db.Exec(query, days); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) usage() (all chat.FileUsage) {
	w.t.Helper()
	usages, err := w.instances[0].chat.FileUsages(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, usage := range usages {
		all.Files += usage.Files
		all.Bytes += usage.Bytes
	}
	return all
}

func TestE22FilesGoWithTheirMessageAndAfterTheirTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	w.decides(func(p *chat.Policy) { p.RetentionDays = 30 })
	doomed, group := ann.group("Doomed", bob), ann.group("Beds", bob)
	files := map[string]string{}
	for _, name := range []string{"unsent", "sent", "recalled", "deleted"} {
		files[name] = ann.uploads(name+".txt", "text/plain", []byte(name))
	}
	var half string
	files["half"], half = ann.announces("half.txt", "text/plain", 3<<20)
	check(t, "half", ann.patches(half, 0, make([]byte, 1<<20)).status, http.StatusNoContent)
	refused, url := ann.announces("refused.jpeg", "image/jpeg", len(note))
	ann.patches(url, 0, []byte(note))
	files["refused"] = refused
	ann.sendsFile(group, "", files["sent"])
	recalled := ann.sendsFile(group, "", files["recalled"])
	ann.sendsFile(doomed, "", files["deleted"])
	ann.did("recallMessage", vars{"messageId": recalled}, "")
	ann.deletes(doomed)
	check(t, "at once", w.sweeps(), 0)
	check(t, "the clinic has", w.usage().Files, 5)

	expect := func(when string, removed int, kept ...string) {
		t.Helper()
		check(t, when, w.sweeps(), removed)
		for name, id := range files {
			if w.isKept(id) != slices.Contains(kept, name) {
				t.Errorf("%s: %s is kept: %t", when, name, w.isKept(id))
			}
		}
	}
	w.passes(2)
	expect("after two days", 3, "sent", "recalled", "deleted")
	w.decides(func(p *chat.Policy) { p.LegalHold = true })
	w.passes(30)
	expect("after the retention, under a legal hold", 0, "sent", "recalled", "deleted")
	w.decides(func(p *chat.Policy) { p.LegalHold = false })
	expect("after the retention", 2, "sent")
	check(t, "the clinic has", w.usage(), chat.FileUsage{Files: 1, Bytes: int64(len("sent"))})
	check(t, "what is sent", bob.downloads(bob.address(files["sent"])).body, "sent")
	check(t, "again", w.sweeps(), 0)
}

// A file that is sent at the moment at which its day is over is either sent and kept, or gone.
func TestASweepAndASendDoNotBothHaveAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	group := ann.group("Beds", bob)
	sent, gone := 0, 0
	for range 20 {
		id := ann.uploads("note.txt", "text/plain", []byte(note))
		w.passes(2)
		var both sync.WaitGroup
		var code string
		both.Go(func() {
			code = ann.does("sendMessage", vars{"conversationId": group, "fileIds": []string{id}}, "").text("userErrors.0.code")
		})
		both.Go(func() { w.sweeps() })
		both.Wait()
		w.sweeps()
		switch code {
		case "":
			sent++
			check(t, "what was sent", bob.downloads(bob.address(id)).body, note)
		case "NOT_FOUND":
			gone++
			check(t, "what is gone is kept", w.isKept(id), false)
		default:
			t.Errorf("it was answered %s", code)
		}
	}
	t.Logf("%d were sent, %d were gone", sent, gone)
	check(t, "the clinic has", w.usage().Files, int64(sent))
}

func TestBytesOfWhichNoFileKnowsAreSweptAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.people("Desk", "Ann", "Bob")[0]
	sent := ann.uploads("sent.txt", "text/plain", []byte("sent"))
	_, url := ann.announces("half.txt", "text/plain", 3<<20)
	ann.patches(url, 0, make([]byte, 1<<20))
	folders := map[string]bool{} // and whether they stay
	for _, name := range []string{uuid.NewString(), uuid.NewString() + ".pieces"} {
		folders[name] = false
		folders["somebody's "+name] = true
	}
	made, err := filepath.Glob(filepath.Join(w.files, "*-*-*-*"))
	made = slices.DeleteFunc(made, func(path string) bool { return filepath.Base(path) == uuid.Nil.String() }) // whose place it is
	if err != nil || len(made) != 2 {
		t.Fatalf("there are %q (%v)", made, err)
	}
	for _, path := range made {
		folders[filepath.Base(path)] = true
	}
	young := uuid.NewString()
	for name := range folders {
		_ = os.Mkdir(filepath.Join(w.files, name), 0o700) // some are there
		old := time.Now().Add(-25 * time.Hour)
		if err := os.Chtimes(filepath.Join(w.files, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	folders[young] = true
	if err := os.Mkdir(filepath.Join(w.files, young), 0o700); err != nil {
		t.Fatal(err)
	}

	w.sweeps()

	for name, stays := range folders {
		if _, err := os.Stat(filepath.Join(w.files, name)); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, "what is sent", ann.downloads(ann.address(sent)).body, "sent")
	check(t, "the half", ann.isAt(url), 1<<20)
}

func TestLostBytesAreSaidToBeLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.people("Desk", "Ann", "Bob")[0]
	id := ann.uploads("note.txt", "text/plain", []byte(note))
	if err := os.RemoveAll(filepath.Join(w.files, fileID(t, id).String())); err != nil {
		t.Fatal(err)
	}

	got := ann.downloads(ann.address(id))

	if got.status != http.StatusNotFound || got.code() != "FILE_LOST" || got.header.Get("ETag")+got.header.Get("Content-Disposition") != "" {
		t.Errorf("it answers %d %s with %v", got.status, got.body, got.header)
	}
}

// claims is what comes of starting a server with the files of a place.
func claims(t *testing.T, of *world, place string, anew bool) error {
	t.Helper()
	store, err := blob.Open(t.Context(), place, blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	service := chat.New(of.database.Open(), nil, slog.New(slog.DiscardHandler))
	service.UseFiles(chat.Files{Store: store, MaxSize: 1, Types: media.DefaultTypes()})
	return service.ClaimFiles(t.Context(), anew)
}

// So it is when all servers of a clinic are started for the first time at once.
func TestServersThatStartTogetherTakeANewPlaceForTheFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 20 {
		place, start, answers := t.TempDir(), make(chan struct{}), make(chan error, 4)
		leaves(t, place, "corridor.probes/"+uuid.NewString()) // by one that was killed as it started
		for range cap(answers) {
			go func() {
				<-start
				answers <- claims(t, w, place, true)
			}()
		}
		close(start)
		for range cap(answers) {
			if err := <-answers; err != nil {
				t.Errorf("a server says %v", err)
			}
		}
	}
}

// leaves has a blob in a place.
func leaves(t *testing.T, place, name string) {
	t.Helper()
	store, err := blob.Open(t.Context(), place, blob.Options{})
	if err == nil {
		err = store.Put(t.Context(), name, strings.NewReader("x"), 1)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheFilesOfAnotherDatabaseAreNotTaken(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t)
	ann := w.people("Desk", "Ann", "Bob")[0]
	check(t, "an empty place of another", claims(t, other, w.files, false), chat.ErrAnotherStore)
	ann.uploads("note.txt", "text/plain", []byte(note))
	empty := t.TempDir()

	for name, test := range map[string]struct {
		err  error
		want error
	}{
		"its own again":                      {claims(t, w, w.files, false), nil},
		"those of another":                   {claims(t, other, w.files, false), chat.ErrAnotherStore},
		"those of another, although":         {claims(t, other, w.files, true), chat.ErrAnotherStore},
		"an empty place for files":           {claims(t, w, empty, false), chat.ErrFilesElsewhere},
		"an empty place for none":            {claims(t, other, empty, false), nil},
		"an empty place for files, although": {claims(t, w, t.TempDir(), true), nil},
	} {
		if !errors.Is(test.err, test.want) || test.want == nil && test.err != nil {
			t.Errorf("%s: %v, want %v", name, test.err, test.want)
		}
	}
	// An instance that keeps its files by itself, and not where the others do, takes none.
	if got := ann.asks(`mutation { createUpload(input: {clientKey: "k", name: "n.txt", size: 1}) { file { id } } }`, nil); got.code() != "INTERNAL" {
		t.Errorf("it answers %s", got.body)
	}
	// The way back is as wide as the way there.
	check(t, "the place from before", errors.Is(claims(t, w, w.files, false), chat.ErrFilesElsewhere), true)
	check(t, "the place from before, although", claims(t, w, w.files, true), nil)
	check(t, "its own again", claims(t, w, w.files, false), nil)
	check(t, "then it is taken", ann.uploads("note.txt", "text/plain", []byte(note)) != "", true)
}

// scanned has files searched by a daemon of the world's own.
func scanned(w *world) *clamavtest.Fake {
	w.t.Helper()
	daemon := clamavtest.Daemon(w.t)
	var err error
	if w.scanner, err = clamav.New(daemon.Address); err != nil {
		w.t.Fatal(err)
	}
	return daemon
}

func TestUntilItIsFoundCleanNobodyGetsAFile(t *testing.T) {
	t.Parallel()
	var daemon *clamavtest.Fake
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) { daemon = scanned(w) })
	people := w.people("Desk", "Ann", "Bob", "Carl")
	ann, bob, carl := people[0], people[1], people[2]
	group := ann.group("Beds", bob, carl)
	anns, bobs, carls := ann.follows(), bob.follows(), carl.follows()
	held, release := daemon.Hold()
	id := ann.uploads("note.txt", "text/plain", []byte(note))
	<-held

	check(t, "before", ann.file(id, "scan").text("scan"), "PENDING")
	check(t, "its uploader's address", ann.address(id), "")
	message := ann.sendsFile(group, "", id)
	for _, s := range []*stream{anns, bobs, carls} {
		if got := s.event().at("message.files.0"); got.text("scan") != "PENDING" || got.text("download.url") != "" {
			t.Errorf("%s sees %v", s.person.name, got.value)
		}
	}
	forged, _ := transfer.NewLinks(w.key.Derive("file link")).Download(bob.userID, &chat.File{ID: fileID(t, id), Sight: w.sight(bob, group)}, chat.FileContent)
	if got := bob.downloads(forged); got.status != http.StatusConflict || got.code() != "FILE_NOT_READY" {
		t.Errorf("by force: %d %s", got.status, got.body)
	}
	ann.removes(group, carl)
	carls.event() // that he is gone
	anns.event()
	bobs.event()
	release()

	for _, s := range []*stream{anns, bobs} {
		event := s.event()
		if event.text("__typename") != "FileChanged" || event.text("file.id") != id || event.text("file.scan") != "CLEAN" || event.text("message.id") != message {
			t.Errorf("%s heard %v", s.person.name, event.value)
		}
		check(t, "then", s.person.downloads(event.text("file.download.url")).body, note)
	}
	// Carl saw the message, and may have the file of it; of what happens in the group he hears nothing.
	check(t, "carl gets", carl.downloads(carl.address(id)).body, note)
	carl.group("Fence", ann)
	check(t, "carl hears", carls.event().text("__typename"), "ConversationAdded")
}

func TestWhatIsInfectedIsRemoved(t *testing.T) {
	t.Parallel()
	var daemon *clamavtest.Fake
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) { daemon = scanned(w) })
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	group := ann.group("Beds", bob)
	anns, bobs := ann.follows(), bob.follows()

	unsent := ann.uploads("unsent.txt", "text/plain", []byte("it says "+clamavtest.EICAR))
	if heard := anns.event(); heard.text("__typename") != "FileChanged" || heard.text("file.id") != unsent || heard.text("file.scan") != "INFECTED" || heard.at("message").value != nil {
		t.Errorf("ann heard %v", heard.value)
	}
	check(t, "it can be sent", ann.isRefusedFile(unsent), "FILE_INFECTED")
	anns.event() // of the group that it was tried in
	if ann.sees(`{ viewer { user { id } } }`, nil); bob.looksAt(group, "lastMessage { files { id } }").text("lastMessage.files.0.id") != "" {
		t.Error("it was sent")
	}
	held, release := daemon.Hold()
	sent := ann.uploads("sent.txt", "text/plain", []byte("it says "+clamavtest.EICAR))
	<-held
	ann.sendsFile(group, "look", sent)
	release()

	for {
		event := bobs.event()
		if event.text("__typename") == "FileChanged" {
			check(t, "bob sees", event.text("file.scan"), "INFECTED")
			break
		}
	}
	check(t, "bob's address", bob.address(sent), "")
	forged, _ := transfer.NewLinks(w.key.Derive("file link")).Download(bob.userID, &chat.File{ID: fileID(t, sent), Sight: w.sight(bob, group)}, chat.FileContent)
	if got := bob.downloads(forged); got.status != http.StatusForbidden || got.code() != "FILE_INFECTED" {
		t.Errorf("by force: %d %s", got.status, got.body)
	}
	w.eventually("its bytes go", func() bool { return !w.isKept(sent) && !w.isKept(unsent) })
	check(t, "the clinic has", w.usage().Bytes, int64(0))
}

func TestAScannerThatIsAwayHoldsFilesBackAndNothingElse(t *testing.T) {
	t.Parallel()
	var daemon *clamavtest.Fake
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) { daemon = scanned(w) })
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	group := ann.group("Beds", bob)
	daemon.Stop()
	id := ann.uploads("note.txt", "text/plain", []byte(note))
	ann.sendsFile(group, "here it is", id)
	check(t, "meanwhile", bob.file(id, "scan").text("scan"), "PENDING")
	check(t, "the text", bob.reads(group), "Ann created the group., here it is")

	daemon.Start()

	w.eventually("it is searched", func() bool { return bob.file(id, "scan").text("scan") == "CLEAN" })
	check(t, "bob gets", bob.downloads(bob.address(id)).body, note)
	daemon.Limit(5)
	large := ann.uploads("large.txt", "text/plain", []byte(note))
	w.eventually("it can't be searched", func() bool { return ann.file(large, "scan").text("scan") == "FAILED" })
	check(t, "it can be sent", ann.isRefusedFile(large), "FILE_NOT_SCANNED")
	daemon.Limit(1 << 20)
	daemon.Verdict(func([]byte) string { return "Heuristics.Limits.Exceeded.MaxFileSize FOUND" })
	deep := ann.uploads("deep.txt", "text/plain", []byte(note))
	w.eventually("it is searched in part", func() bool { return ann.file(deep, "scan").text("scan") == "FAILED" })
}

func TestFilesFromBeforeTheScannerAreSearchedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Desk", "Ann", "Bob")
	ann, bob := people[0], people[1]
	group := ann.group("Beds", bob)
	id := ann.uploads("note.txt", "text/plain", []byte(note))
	ann.sendsFile(group, "", id)
	url := bob.address(id)
	check(t, "nobody searches", bob.file(id, "scan").text("scan"), "")
	check(t, "before", bob.downloads(url).status, http.StatusOK)
	daemon := scanned(w)
	held, release := daemon.Hold()

	bob.at = w.instance()
	<-held

	check(t, "meanwhile", bob.downloads(url).code(), "FILE_NOT_READY")
	release()
	w.eventually("it is searched", func() bool { return bob.file(id, "scan").text("scan") == "CLEAN" })
	check(t, "afterwards", bob.downloads(url).status, http.StatusOK)
}

// sight is by what somebody sees the files of a conversation that they have been in once.
func (w *world) sight(p *person, conversation string) (sight chat.FileSight) {
	w.t.Helper()
	db := w.database.Open()
	defer db.Close()
	var of scalar.NodeID
	if err := of.UnmarshalGQL(conversation); err != nil {
		w.t.Fatal(err)
	}
	const query = `
		SELECT opened_seq || '-' || to_seq FROM spans JOIN conversations ON conversations.stream = spans.stream
		WHERE reader = $1 AND conversations.id = $2`
	if err := db.Get(&sight, query, p.userID, of.ID); err != nil {
		w.t.Fatal(err)
	}
	return sight
}

func fileID(t *testing.T, id string) chat.FileID {
	t.Helper()
	var read scalar.NodeID
	if err := read.UnmarshalGQL(id); err != nil {
		t.Fatal(err)
	}
	return chat.FileID{UUID: read.ID}
}

// picture is a JPEG of a size, red in its upper left corner and blue elsewhere.
func picture(width, height int) []byte {
	drawn := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			drawn.Set(x, y, color.RGBA{B: 255, A: 255})
			if x < width/4 && y < height/4 {
				drawn.Set(x, y, color.RGBA{R: 255, A: 255})
			}
		}
	}
	var written bytes.Buffer
	if err := jpeg.Encode(&written, drawn, nil); err != nil {
		panic(err) // into memory
	}
	return written.Bytes()
}
