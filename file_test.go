package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// uploadSize is the size of each of the uploads whose memory is measured.
var uploadSize = flag.Int("upload.size", 16, "size in MB of each of the twenty uploads whose memory is measured")

// recording is a file of a kind that is not looked into further: the beginning of a WAV and noise.
func recording(size int) []byte {
	content := make([]byte, size)
	noise := rand.NewChaCha8([32]byte{1})
	_, _ = noise.Read(content) // it never fails
	copy(content, "RIFF\xf0\xff\xff\x7fWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x44\xac\x00\x00\x88\x58\x01\x00\x02\x00\x10\x00data\xc4\xff\xff\x7f")
	return content
}

// announces announces a recording: the id of the file and where its bytes go.
func (p *process) announces(token string, size int) (id, url string) {
	p.t.Helper()
	return p.announcesAs(token, "recording.wav", size)
}

func (p *process) announcesAs(token, name string, size int) (id, url string) {
	p.t.Helper()
	mediaType := "audio/wav"
	if strings.HasSuffix(name, ".jpeg") {
		mediaType = "image/jpeg"
	}
	var announced struct {
		CreateUpload struct {
			File struct {
				ID     string
				Upload struct{ URL string }
			}
		}
	}
	p.asks(token, `mutation ($input: CreateUploadInput!) { createUpload(input: $input) { file { id upload { url } } } }`,
		map[string]any{"input": map[string]any{"clientKey": fmt.Sprint(rand.Int64()), "name": name, "mediaType": mediaType, "size": size}}, &announced)
	return announced.CreateUpload.File.ID, announced.CreateUpload.File.Upload.URL
}

// bytesRequest is a request about the bytes of a file.
func (p *process) bytesRequest(ctx context.Context, token, method, url string, body io.Reader) *http.Request {
	p.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, p.url+url, body)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Tus-Resumable", "1.0.0")
	return request
}

// patches brings what is left of an upload, as far as the server takes it.
func (p *process) patches(token, url string, at int, content io.Reader, size int) (int, error) {
	p.t.Helper()
	request := p.bytesRequest(p.t.Context(), token, http.MethodPatch, url, content)
	request.ContentLength = int64(size)
	request.Header.Set("Content-Type", "application/offset+octet-stream")
	request.Header.Set("Upload-Offset", strconv.Itoa(at))
	response, err := (&http.Transport{}).RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("%d %s", response.StatusCode, said)
	}
	return response.StatusCode, err
}

// isAt is how much of an upload is safe.
func (p *process) isAt(token, url string) int {
	p.t.Helper()
	response, err := http.DefaultClient.Do(p.bytesRequest(p.t.Context(), token, http.MethodHead, url, nil))
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	at, err := strconv.Atoi(response.Header.Get("Upload-Offset"))
	if err != nil {
		p.t.Fatalf("how far the upload is: %d %v", response.StatusCode, response.Header)
	}
	return at
}

// fileOf is a file as somebody sees it.
type fileOf struct {
	State    string
	Name     string
	Download *struct{ URL string }
}

func (p *process) file(token, id string) *fileOf {
	p.t.Helper()
	var seen struct{ Node *fileOf }
	p.asks(token, `query ($id: ID!) { node(id: $id) { ... on File { state name download { url } } } }`, map[string]any{"id": id}, &seen)
	return seen.Node
}

// newestConversation is the one with the last activity.
func (p *process) newestConversation(token string) string {
	p.t.Helper()
	var seen struct {
		Viewer struct {
			Conversations struct{ Nodes []struct{ ID string } }
		}
	}
	p.asks(token, `{ viewer { conversations(first: 1) { nodes { id } } } }`, nil, &seen)
	return seen.Viewer.Conversations.Nodes[0].ID
}

func (p *process) sendsFile(token, conversation, file, key string) string {
	p.t.Helper()
	var sent struct {
		SendMessage struct {
			Message    *struct{ ID string }
			UserErrors []struct{ Code string }
		}
	}
	p.asks(token, `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } userErrors { code } } }`,
		map[string]any{"input": map[string]any{"clientKey": key, "conversationId": conversation, "fileIds": []string{file}}}, &sent)
	if sent.SendMessage.Message == nil {
		p.t.Fatalf("the file is not sent: %v", sent.SendMessage.UserErrors)
	}
	return sent.SendMessage.Message.ID
}

// Killed in the middle of an upload, of a download, and between upload and message: what was
// acknowledged is there, nothing half-done is to be seen, and all goes on.
func TestAKilledServerLosesNothingOfAFile(t *testing.T) {
	t.Parallel()
	server := starts(t, demoDir(t))
	token, other := server.token(ann), server.token("bob.okafor@lakeside.example")
	content := recording(24 << 20)
	id, url := server.announces(token, len(content))

	// In the middle of the upload: it hangs behind the first 9 MB.
	body, sender := io.Pipe()
	hung := make(chan error, 1)
	go func() {
		_, err := server.patches(token, url, 0, body, len(content))
		hung <- err
	}()
	if _, err := sender.Write(content[:9<<20]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "8 MB are safe", func() bool { return server.isAt(token, url) >= 8<<20 })
	server.ends(syscall.SIGKILL)
	sender.CloseWithError(io.ErrClosedPipe)
	if err := <-hung; err == nil {
		t.Error("the upload was acknowledged by a server that was killed")
	}
	server = starts(t, server.dir)
	at := server.isAt(token, url)
	if at < 8<<20 || at > 9<<20 {
		t.Fatalf("%d bytes are safe after the crash", at)
	}
	if half := server.file(token, id); half.State != "UPLOADING" || half.Download != nil {
		t.Errorf("half of it is there, and it is %+v", half)
	}
	if _, err := server.patches(token, url, at, bytes.NewReader(content[at:]), len(content)-at); err != nil {
		t.Fatal(err)
	}

	// Between upload and message.
	server.ends(syscall.SIGKILL)
	server = starts(t, server.dir)
	if seen := server.file(other, id); seen != nil {
		t.Errorf("a file that was not sent is seen by another: %+v", seen)
	}
	conversation := server.newestConversation(token)
	server.sendsFile(token, conversation, id, "once")

	// In the middle of a download: the client knows that it is not whole, and goes on behind what it has.
	got := server.downloadsUntil(token, id, 2<<20, func() { server.ends(syscall.SIGKILL) })
	server = starts(t, server.dir)
	rest := server.bytesRequest(t.Context(), token, http.MethodGet, server.file(token, id).Download.URL, nil)
	rest.Header.Set("Range", fmt.Sprintf("bytes=%d-", len(got)))
	response, err := http.DefaultClient.Do(rest)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	more, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusPartialContent {
		t.Fatalf("the rest: %d, %v", response.StatusCode, err)
	}
	if !bytes.Equal(append(got, more...), content) {
		t.Errorf("%d and %d bytes came, which are not the %d that were sent", len(got), len(more), len(content))
	}
	server.hasOnly(t, id)
}

// downloadsUntil begins to download a file and does something behind the first bytes. It returns what came.
func (p *process) downloadsUntil(token, id string, enough int, then func()) []byte {
	p.t.Helper()
	response, err := (&http.Transport{}).RoundTrip(p.bytesRequest(p.t.Context(), token, http.MethodGet, p.file(token, id).Download.URL, nil))
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	got := make([]byte, enough)
	if _, err := io.ReadFull(response.Body, got); err != nil {
		p.t.Fatal(err)
	}
	then()
	more, err := io.ReadAll(response.Body)
	if err == nil && int64(enough+len(more)) != response.ContentLength {
		p.t.Errorf("the download looks whole with %d bytes", enough+len(more))
	}
	return append(got, more...)
}

// hasOnly looks for bytes that nothing refers to.
func (p *process) hasOnly(t *testing.T, id string) {
	t.Helper()
	var left []string
	err := filepath.WalkDir(filepath.Join(p.dir, "files"), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			left = append(left, strings.TrimPrefix(path, p.dir))
		}
		return err
	})
	contents := 0
	for _, path := range left {
		if strings.Contains(path, "/content-") {
			contents++
		}
		if strings.Contains(path, "pieces") {
			t.Errorf("%s is left", path)
		}
	}
	if err != nil || contents != 1 {
		t.Errorf("there are %q (%v)", left, err)
	}
}

// The common client of the protocol goes on by itself when the server is killed under it.
func TestS24TheCommonClientBringsAFileThroughACrash(t *testing.T) {
	t.Parallel()
	needsClients(t)
	listen := "CORRIDOR_LISTEN=" + freeAddress(t)
	server := starts(t, demoDir(t), listen)
	token := server.token(ann)
	content := recording(60 << 20)
	path := filepath.Join(t.TempDir(), "recording.wav")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "node", "tools/clients/uploader.mjs", server.url+"/graphql", server.newestConversation(token), path, "audio/wav")
	command.Stdin = strings.NewReader(token + "\n")
	said := lines(t, command)
	awaitsLine(t, said, func(line string) bool { return line == "announced" })
	awaitsLine(t, said, func(line string) bool {
		sent, _ := strconv.Atoi(strings.TrimPrefix(line, "sent "))
		return sent > 10<<20
	})

	server.ends(syscall.SIGKILL)
	starts(t, server.dir, listen)

	var file struct {
		Name   string
		Size   int
		Sha256 string
	}
	last := awaitsLine(t, said, func(line string) bool { return !strings.HasPrefix(line, "sent ") })
	digest := sha256.Sum256(content)
	if err := json.Unmarshal([]byte(last), &file); err != nil || file.Name != "recording.wav" || file.Size != len(content) || file.Sha256 != hex.EncodeToString(digest[:]) {
		t.Errorf("it ended with %s", last)
	}
}

// Twenty people upload at once, one of them slowly. What the process holds for them does not depend on the size of the files.
func TestMemoryDoesNotGrowWithUploads(t *testing.T) {
	t.Parallel()
	// The race detector takes memory of its own.
	program := filepath.Join(t.TempDir(), "corridor")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=auto", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	server := startsProgram(t, program, demoDir(t))
	token, other := server.token(ann), server.token("bob.okafor@lakeside.example")
	tokens := []string{token, other, server.token("li.na@lakeside.example"), server.token("zoe.brown@lakeside.example")}
	content := recording(*uploadSize << 20)
	before := server.memory()

	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, url := server.announces(tokens[i%len(tokens)], len(content))
			for at := 0; at < len(content); at = server.isAt(tokens[i%len(tokens)], url) {
				if _, err := server.patches(tokens[i%len(tokens)], url, at, bytes.NewReader(content[at:]), len(content)-at); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()

	after := server.memory()
	t.Logf("%d MB of memory at most, %d MB before 20 uploads of %d MB", after, before, *uploadSize)
	if after-before > 100 {
		t.Errorf("20 uploads of %d MB took %d MB of memory", *uploadSize, after-before)
	}
}

// memory is the most that the process ever had in memory, in MB.
func (p *process) memory() int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		p.t.Skip("memory is read from /proc, which this system has not")
	}
	most := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if most == nil {
		p.t.Fatalf("no memory in %s", status)
	}
	kilobytes, err := strconv.Atoi(string(most[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	return kilobytes >> 10
}
