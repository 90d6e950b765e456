package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"

	"corridor/internal/s3test"
)

// TestMain puts a blob that never ends, in a process that is there to be killed.
func TestMain(m *testing.M) {
	if location := os.Getenv("PUT_AT"); location != "" {
		fmt.Fprintln(os.Stderr, putForever(location, os.Getenv("PUT_NAME")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func putForever(location, name string) error {
	store, err := Open(context.Background(), location, Options{})
	if err != nil {
		return err
	}
	const written = 3 * partSize
	return store.Put(context.Background(), name, io.MultiReader(random(written), standstill{}), written+1)
}

// standstill says that it was reached, and is never read to its end.
type standstill struct{}

func (standstill) Read([]byte) (int, error) {
	fmt.Println("reached")
	select {}
}

func random(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), size) }

// world is a store of one test.
type world struct {
	*testing.T
	Store
	location    string
	options     Options
	environment []string
}

// onEach tells a story on either store.
func onEach(t *testing.T, story func(t *testing.T, w *world)) {
	t.Parallel()
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		story(t, newWorld(t, filepath.Join(t.TempDir(), "made", "files"), Options{}, nil))
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		w, _ := onS3(t)
		story(t, w)
	})
}

func onS3(t *testing.T) (*world, *s3test.S3) {
	t.Helper()
	server := s3test.Server(t)
	location := strings.Replace(server.Location, "?", "/a/clinic?", 1)
	return newWorld(t, location, keys(server), server.Environment()), server
}

func keys(server *s3test.S3) Options {
	return Options{Credentials: Credentials{AccessKey: server.AccessKey, SecretKey: server.SecretKey}}
}

func newWorld(t *testing.T, location string, options Options, environment []string) *world {
	t.Helper()
	store, err := Open(t.Context(), location, options)
	if err != nil {
		t.Fatal(err)
	}
	return &world{T: t, Store: store, location: location, options: options, environment: environment}
}

func (w *world) puts(name, content string) {
	w.Helper()
	if err := w.Put(w.Context(), name, strings.NewReader(content), int64(len(content))); err != nil {
		w.Fatal(err)
	}
}

// reads returns what the blob says from an offset, or "nothing" if there is none.
func (w *world) reads(name string, offset int64) string {
	w.Helper()
	blob, err := w.Store.Open(w.Context(), name, offset)
	if errors.Is(err, ErrNotFound) {
		return "nothing"
	}
	if err != nil {
		w.Fatal(err)
	}
	defer blob.Close()
	read, err := io.ReadAll(blob)
	if err != nil {
		w.Fatal(err)
	}
	return string(read)
}

func (w *world) finds(name, want string) {
	w.Helper()
	if got := w.reads(name, 0); got != want {
		w.Errorf("%s holds %.80q, want %q", name, got, want)
	}
}

func (w *world) folders() map[string]time.Time {
	w.Helper()
	found := map[string]time.Time{}
	for folder, err := range w.Folders(w.Context()) {
		if err != nil {
			w.Fatal(err)
		}
		if _, again := found[folder.Name]; again {
			w.Errorf("%s is yielded twice", folder.Name)
		}
		found[folder.Name] = folder.Changed
	}
	return found
}

func TestABlobIsReadFromAnyOffset(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.puts("ward/scan.png", "0123456789")
		w.puts("ward/empty", "")
		for offset, want := range map[int64]string{0: "0123456789", 4: "456789", 9: "9", 10: "", 11: "", 1 << 40: ""} {
			if got := w.reads("ward/scan.png", offset); got != want {
				t.Errorf("from %d it reads %q, want %q", offset, got, want)
			}
		}
		for _, offset := range []int64{0, 1} {
			if got := w.reads("ward/empty", offset); got != "" {
				t.Errorf("from %d an empty blob reads %q", offset, got)
			}
		}
		if _, err := w.Store.Open(t.Context(), "ward/scan.png", -1); err == nil {
			t.Error("it can be read from before its beginning")
		}
	})
}

func TestAMissingBlobIsNoticedWhenItIsOpened(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.puts("ward/scan", "here")
		for _, name := range []string{"ward/other", "other/scan"} {
			for _, offset := range []int64{0, 7} {
				if _, err := w.Store.Open(t.Context(), name, offset); !errors.Is(err, ErrNotFound) {
					t.Errorf("%s from %d: %v", name, offset, err)
				}
			}
		}
	})
}

func TestABlobIsReplacedWhole(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.puts("ward/scan", "a long first version")

		w.puts("ward/scan", "short")

		w.finds("ward/scan", "short")
	})
}

func TestAPutThatFailsChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		broken := errors.New("the client has gone")
		w.puts("ward/old", "old")
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		for _, size := range []int64{0, 1, partSize, partSize + 1, 2 * partSize} {
			puts := map[string]func(name string) error{
				"longer": func(name string) error { return w.Put(t.Context(), name, random(size+1), size) },
				"longer, with its end": func(name string) error {
					return w.Put(t.Context(), name, iotest.DataErrReader(random(size+1)), size)
				},
				"broken at the end": func(name string) error {
					err := w.Put(t.Context(), name, io.MultiReader(random(size), iotest.ErrReader(broken)), size)
					if !errors.Is(err, broken) {
						t.Errorf("the error of the reader is not in %v", err)
					}
					return err
				},
				"negative": func(name string) error { return w.Put(t.Context(), name, random(size), -1) },
				"cancelled": func(name string) error {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					return w.Put(ctx, name, io.MultiReader(random(size), calls(cancel)), size)
				},
				"cancelled before": func(name string) error { return w.Put(cancelled, name, random(size), size) },
			}
			if size > 0 {
				puts["shorter"] = func(name string) error { return w.Put(t.Context(), name, random(size-1), size) }
				puts["empty"] = func(name string) error { return w.Put(t.Context(), name, random(0), size) }
			}
			for what, put := range puts {
				for _, name := range []string{"ward/old", "ward/new", uuid.NewString() + "/new"} {
					if err := put(name); err == nil {
						t.Errorf("a Put of %d bytes that is %s is no error", size, what)
					}
					if want := map[bool]string{true: "old", false: "nothing"}[name == "ward/old"]; w.reads(name, 0) != want {
						t.Fatalf("after a Put of %d bytes that is %s, %s is not %q", size, what, name, want)
					}
				}
			}
		}
		if found := w.folders(); len(found) != 0 {
			t.Errorf("there are folders without a blob: %v", found)
		}
		w.hasNothingHalfDone()
	})
}

// calls is an empty reader that does something when it is read.
type calls func()

func (c calls) Read([]byte) (int, error) { c(); return 0, io.EOF }

func (w *world) hasNothingHalfDone() {
	w.Helper()
	if left := w.halfDone(); len(left) != 0 {
		w.Errorf("there is something half done: %v", left)
	}
}

// halfDone are the names of what is not a blob yet.
func (w *world) halfDone() (left []string) {
	w.Helper()
	switch store := w.Store.(type) {
	case *disk:
		entries, err := os.ReadDir(store.work)
		if err != nil {
			w.Fatal(err)
		}
		for _, entry := range entries {
			left = append(left, filepath.Join(store.work, entry.Name()))
		}
	case *s3:
		for upload := range store.client.ListIncompleteUploads(w.Context(), store.bucket, store.prefix, true) {
			if upload.Err != nil {
				w.Fatal(upload.Err)
			}
			left = append(left, upload.Key)
		}
	}
	return left
}

func TestBlobsOfAllSizesReadAsTheyWereWritten(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, size := range []int64{1, 4096, 1 << 20, partSize - 1, partSize, partSize + 1, 2 * partSize, 2*partSize + 1} {
			want := sha256.New()
			name := fmt.Sprintf("ward/%d", size)
			if err := w.Put(t.Context(), name, io.TeeReader(random(size), want), size); err != nil {
				t.Fatal(err)
			}
			blob, err := w.Store.Open(t.Context(), name, 0)
			if err != nil {
				t.Fatal(err)
			}
			got := sha256.New()
			if n, err := io.Copy(got, blob); n != size || err != nil {
				t.Errorf("of %d bytes %d come back, %v", size, n, err)
			}
			blob.Close()
			if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
				t.Errorf("%d bytes read differently", size)
			}
		}
	})
}

func TestOfPutsAtOnceOneWins(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		var putting errgroup.Group
		for who := range 10 {
			putting.Go(func() error {
				content := strings.Repeat(string(rune('a'+who)), 100_000)
				for range 5 {
					if err := w.Put(t.Context(), "ward/scan", strings.NewReader(content), int64(len(content))); err != nil {
						return err
					}
				}
				return nil
			})
		}

		err := putting.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if got := w.reads("ward/scan", 0); got == "" || got != strings.Repeat(got[:1], 100_000) {
			t.Errorf("the blob is mixed, or has %d bytes", len(got))
		}
	})
}

func TestADirectoryCanBeEmptiedWhileItIsFilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, t.TempDir(), Options{}, nil)
	var all errgroup.Group
	for who := range 4 {
		all.Go(func() error {
			name := fmt.Sprintf("ward/%d", who)
			for range 50 {
				if err := w.Put(t.Context(), name, strings.NewReader("x"), 1); err != nil {
					return err
				}
				if err := w.Remove(t.Context(), name); err != nil {
					return err
				}
			}
			return w.Put(t.Context(), name, strings.NewReader("last"), 4)
		})
	}

	err := all.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for who := range 4 {
		w.finds(fmt.Sprintf("ward/%d", who), "last")
	}
}

func TestRemovedBlobsAreGoneAndNoOthers(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		names := []string{"ward/a", "ward/b", "ward/c", "ward-1/a", "ward.1/a", "war/a", "ward1/ward"}
		for _, name := range names {
			w.puts(name, "content")
		}

		if err := w.Remove(t.Context(), "ward-1/a", "ward/b", "ward/missing", "nowhere/a"); err != nil {
			t.Fatal(err)
		}

		for _, name := range names {
			w.finds(name, map[bool]string{true: "nothing", false: "content"}[name == "ward-1/a" || name == "ward/b"])
		}

		if err := errors.Join(w.RemoveAll(t.Context(), "ward"), w.RemoveAll(t.Context(), "ward"), w.RemoveAll(t.Context(), "nowhere")); err != nil {
			t.Fatal(err)
		}

		for _, name := range names {
			gone := strings.HasPrefix(name, "ward/") || name == "ward-1/a"
			w.finds(name, map[bool]string{true: "nothing", false: "content"}[gone])
		}
		if err := w.Remove(t.Context()); err != nil {
			t.Errorf("to remove no blobs: %v", err)
		}
	})
}

func TestEveryFolderIsYieldedOnceAmongManyBlobs(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		if store, ok := w.Store.(*s3); ok {
			store.page = 100 // so that folders begin and end within pages
		}
		before := time.Now().Add(-2 * time.Second) // a file system's clock is a little behind, S3 counts seconds
		want := map[string]bool{}
		var putting errgroup.Group
		putting.SetLimit(8)
		for folder := range 350 {
			id := uuid.NewString()
			want[id] = true
			for blob := range 1 + folder%5 {
				putting.Go(func() error {
					return w.Put(t.Context(), fmt.Sprintf("%s/%d", id, blob), strings.NewReader("x"), 1)
				})
			}
		}
		if err := putting.Wait(); err != nil {
			t.Fatal(err)
		}
		w.puts("somebody-elses/blob", "x")
		if _, err := w.Identity(t.Context()); err != nil {
			t.Fatal(err)
		}

		found := w.folders()

		if !maps.EqualFunc(found, want, func(time.Time, bool) bool { return true }) {
			t.Errorf("%d folders are yielded, want %d", len(found), len(want))
		}
		for folder, changed := range found {
			if changed.Before(before) || changed.After(time.Now().Add(2*time.Second)) {
				t.Errorf("%s was changed at %v, put after %v", folder, changed, before)
			}
		}
		for range w.Folders(t.Context()) {
			break // to stop is allowed
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		var last error
		for _, err := range w.Folders(cancelled) {
			last = err
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("after it was cancelled the last is %v", last)
		}
	})
}

func TestAFolderOfManyBlobsIsRemoved(t *testing.T) {
	t.Parallel()
	w, _ := onS3(t)
	w.Store.(*s3).page = 7
	var putting errgroup.Group
	putting.SetLimit(8)
	for blob := range 50 {
		putting.Go(func() error {
			return w.Put(t.Context(), fmt.Sprintf("ward/%d", blob), strings.NewReader("x"), 1)
		})
	}
	if err := putting.Wait(); err != nil {
		t.Fatal(err)
	}

	err := w.RemoveAll(t.Context(), "ward")
	if err != nil {
		t.Fatal(err)
	}
	for object := range w.Store.(*s3).list(t.Context(), "") {
		t.Errorf("%s is left, %v", object.Key, object.Err)
	}
}

func TestForeignNamesAreRefused(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		parts := []string{"", ".", "..", ".work", ".hidden", "/", "a/b/c", "a b", "ä", "a\x00", "a\n", `a\b`, "%2e", strings.Repeat("a", 201), identity}
		for _, part := range parts {
			for _, name := range []string{"a" + part, part + "/a", "a/" + part, "/a/" + part} {
				_, opens := w.Store.Open(t.Context(), name, 0)
				_, addresses := w.Address(t.Context(), name, time.Minute, Presentation{})
				if _, onDisk := w.Store.(*disk); onDisk {
					addresses = errors.New("it has none")
				}
				for what, err := range map[string]error{
					"put": w.Put(t.Context(), name, strings.NewReader(""), 0), "remove": w.Remove(t.Context(), "a/a", name), "open": opens, "address": addresses,
				} {
					if err == nil || errors.Is(err, ErrNotFound) {
						t.Errorf("%s %q: %v", what, name, err)
					}
				}
			}
			if err := w.RemoveAll(t.Context(), part); err == nil {
				t.Errorf("remove all of %q: no error", part)
			}
		}
		longest := strings.Repeat("a", 200) + "/" + strings.Repeat("b", 200)
		w.puts(longest, "content")
		w.finds(longest, "content")
	})
}

func TestNothingBeginsAfterItsContextHasEnded(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.puts("ward/scan", "content")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, opens := w.Store.Open(ctx, "ward/scan", 0)
		_, identifies := w.Identity(ctx)
		for what, err := range map[string]error{
			"open": opens, "identity": identifies, "remove": w.Remove(ctx, "ward/scan"), "remove all": w.RemoveAll(ctx, "ward"),
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", what, err)
			}
		}
		w.finds("ward/scan", "content")
	})
}

func TestAllProcessesAgreeOnTheIdentity(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		said := make([]string, 10)
		var opening errgroup.Group
		for who := range said {
			opening.Go(func() error {
				store, err := Open(t.Context(), w.location, w.options)
				if err != nil {
					return err
				}
				said[who], err = store.Identity(t.Context())
				return err
			})
		}

		err := opening.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if all := slices.Compact(slices.Sorted(slices.Values(said))); len(all) != 1 || all[0] == "" {
			t.Errorf("the identities are %q", all)
		}
		if again, err := w.Identity(t.Context()); again != said[0] || err != nil {
			t.Errorf("later it is %q, %v, and was %q", again, err, said[0])
		}
		w.hasNothingHalfDone()
	})
}

func TestStoresHaveDifferentIdentities(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		elsewhere := filepath.Join(t.TempDir(), "other")
		if strings.HasPrefix(w.location, "s3:") {
			elsewhere = strings.Replace(w.location, "/a/clinic?", "/another?", 1)
		}
		other := newWorld(t, elsewhere, w.options, nil)

		one, err := w.Identity(t.Context())
		two, err2 := other.Identity(t.Context())

		if err := errors.Join(err, err2); one == two || err != nil {
			t.Errorf("both are %q, %v", one, err)
		}
	})
}

func TestAnEmptyIdentityIsNotTakenForOne(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		var err error
		switch store := w.Store.(type) {
		case *disk:
			err = os.WriteFile(filepath.Join(store.root, identity), nil, 0o600)
		case *s3:
			err = store.put(t.Context(), identity, strings.NewReader(""), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if id, err := w.Identity(t.Context()); err == nil {
			t.Errorf("the identity is %q", id)
		}
	})
}

func TestAPutThatIsKilledLeavesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		name := uuid.NewString() + "/scan"
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		putting := exec.Command(program)
		putting.Env = append(append(os.Environ(), w.environment...), "PUT_AT="+w.location, "PUT_NAME="+name)
		putting.Stderr = os.Stderr
		said, err := putting.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := putting.Start(); err != nil {
			t.Fatal(err)
		}
		_, err = said.Read(make([]byte, 1))
		if err := errors.Join(err, putting.Process.Kill()); err != nil {
			t.Fatal(err)
		}
		_ = putting.Wait() // it was killed

		w.finds(name, "nothing")
		if found := w.folders(); len(found) != 0 {
			t.Errorf("there are folders without a blob: %v", found)
		}

		left := w.halfDone()
		if len(left) != 1 {
			t.Fatalf("half done are %q", left)
		}
		switch store := w.Store.(type) {
		case *disk:
			longAgo := time.Now().Add(-leftover - time.Minute)
			if err := os.Chtimes(left[0], longAgo, longAgo); err != nil {
				t.Fatal(err)
			}
			w.folders()
		case *s3:
			store.tidy(t.Context(), -time.Minute)
		}
		w.hasNothingHalfDone()
	})
}

func TestABigBlobTakesLittleMemory(t *testing.T) { // alone: it counts what the process allocates
	const size, room = 100 << 20, 16 << 20
	server := s3test.Server(t)
	for kind, w := range map[string]*world{
		"disk": newWorld(t, t.TempDir(), Options{}, nil), "S3": newWorld(t, server.Location, keys(server), nil),
	} {
		t.Run(kind, func(t *testing.T) {
			allocates := func(what string, act func() error) {
				t.Helper()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := act()
				runtime.ReadMemStats(&after)
				took := after.TotalAlloc - before.TotalAlloc
				t.Logf("%s takes %.1f MiB in all", what, float64(took)/(1<<20))
				if took > room || err != nil {
					t.Errorf("%s took %d bytes, %v", what, took, err)
				}
			}
			allocates("to put 100 MiB", func() error {
				return w.Put(t.Context(), "ward/film", random(size), size)
			})
			allocates("to read them", func() error {
				blob, err := w.Store.Open(t.Context(), "ward/film", 0)
				if err != nil {
					return err
				}
				defer blob.Close()
				n, err := io.Copy(io.Discard, blob)
				if n != size {
					t.Errorf("%d bytes are read", n)
				}
				return err
			})
		})
	}
}

func TestScratchFilesHaveNoName(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		file, err := w.Scratch()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := os.Stat(file.Name()); err == nil && runtime.GOOS != "windows" {
			t.Errorf("%s can be seen", file.Name())
		}
		if _, err := file.WriteString("spooled"); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if err := w.Put(t.Context(), "ward/scan", file, 7); err != nil {
			t.Fatal(err)
		}
		w.finds("ward/scan", "spooled")
	})
}

func TestAnAddressPresentsTheBlobUntilItExpires(t *testing.T) {
	t.Parallel()
	w, _ := onS3(t)
	w.puts("ward/scan", "0123456789")
	as := Presentation{ContentType: "image/png", ContentDisposition: `attachment; filename*=UTF-8''R%C3%B6ntgen%20%22a%22.png`}

	address, err := w.Address(t.Context(), "ward/scan", time.Second, as)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if got := at.Query().Get("X-Amz-Expires"); got != "1" {
		t.Errorf("it expires after %q seconds", got)
	}
	for { // it stops working after its life, so there is no need to know when
		answer, _ := fetch(t, address, "")
		if answer.StatusCode == http.StatusForbidden {
			break
		}
	}

	address, err = w.Address(t.Context(), "ward/scan", time.Hour, as)
	if err != nil {
		t.Fatal(err)
	}
	answer, body := fetch(t, address, "")
	if answer.StatusCode != http.StatusOK || body != "0123456789" {
		t.Errorf("it answers %s: %q", answer.Status, body)
	}
	if got := (Presentation{answer.Header.Get("Content-Type"), answer.Header.Get("Content-Disposition")}); got != as {
		t.Errorf("it is presented as %q, want %q", got, as)
	}
	answer, body = fetch(t, address, "bytes=2-4")
	if answer.StatusCode != http.StatusPartialContent || body != "234" {
		t.Errorf("a part of it answers %s: %q", answer.Status, body)
	}
	if answer, _ := fetch(t, strings.Replace(address, "scan", "other", 1), ""); answer.StatusCode != http.StatusForbidden {
		t.Errorf("it can be used for another blob: %s", answer.Status)
	}
	for _, life := range []time.Duration{0, -time.Second, 8 * 24 * time.Hour} {
		if _, err := w.Address(t.Context(), "ward/scan", life, as); err == nil {
			t.Errorf("an address can live for %v", life)
		}
	}
}

func fetch(t *testing.T, address, bytes string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bytes != "" {
		request.Header.Set("Range", bytes)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestSomeStoresHaveNoAddresses(t *testing.T) {
	t.Parallel()
	server := s3test.Server(t)
	for _, w := range []*world{
		newWorld(t, t.TempDir(), Options{}, nil), newWorld(t, server.Location+"&presign=false", keys(server), nil),
	} {
		if address, err := w.Address(t.Context(), "ward/scan", time.Minute, Presentation{}); address != "" || err != nil {
			t.Errorf("%T has the address %q, %v", w.Store, address, err)
		}
		if origin, err := Origin(t.Context(), w.Store); origin != "" || err != nil {
			t.Errorf("%T has addresses of %q, %v", w.Store, origin, err)
		}
	}
}

func TestAllAddressesOfAStoreHaveOneOrigin(t *testing.T) {
	t.Parallel()
	w, _ := onS3(t)

	origin, err := Origin(t.Context(), w.Store)
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{"ward/scan", "another.ward/film"} {
		if address, err := w.Address(t.Context(), name, time.Minute, Presentation{}); err != nil || !strings.HasPrefix(address, origin+"/") {
			t.Errorf("%s is at %q, not at %q, %v", name, address, origin, err)
		}
	}
	at, err := url.Parse(origin)
	if err != nil || origin != at.Scheme+"://"+at.Host || !strings.Contains(w.location, url.QueryEscape(origin)) {
		t.Errorf("the origin of %s is %q", w.location, origin)
	}
}

// AWS puts the bucket before the host, and the region into it.
func TestAddressesOfAWSNameTheBucketAndTheRegion(t *testing.T) {
	t.Parallel()
	at, err := parse("s3://clinic/a?region=eu-central-1")
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.NewCore(at.host, &minio.Options{Creds: credentials.NewStaticV4("key", "secret", ""), Secure: at.secure, Region: at.region})
	if err != nil {
		t.Fatal(err)
	}

	origin, err := Origin(t.Context(), &s3{place: at, client: *client})

	if !regexp.MustCompile(`^https://clinic\.s3\..*eu-central-1\.amazonaws\.com$`).MatchString(origin) || err != nil {
		t.Errorf("it is %q, %v", origin, err)
	}
}

func TestS3ThatIsAwayIsAnErrorUntilItIsBack(t *testing.T) {
	t.Parallel()
	w, server := onS3(t)
	w.puts("ward/scan", "content")
	big := int64(64 << 20)
	if err := w.Put(t.Context(), "ward/film", random(big), big); err != nil {
		t.Fatal(err)
	}
	film, err := w.Store.Open(t.Context(), "ward/film", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer film.Close()
	if _, err := film.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}

	server.Stop()

	if _, err := io.Copy(io.Discard, film); err == nil {
		t.Error("a blob seems to end where S3 went away")
	}
	_, err = w.Store.Open(t.Context(), "ward/scan", 0)
	if err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("a blob of S3 that is away: %v", err)
	}
	if err := w.Put(t.Context(), "ward/new", strings.NewReader("x"), 1); err == nil {
		t.Error("a blob can be put though S3 is away")
	}

	server.Start()

	w.finds("ward/scan", "content")
	w.finds("ward/new", "nothing")
}

func TestAWrongStoreSaysWhatToDo(t *testing.T) {
	t.Parallel()
	server, away := s3test.Server(t), s3test.Server(t)
	away.Stop()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := keys(server)
	wrong.Credentials.SecretKey = "not-the-secret"
	stranger := keys(away)
	for _, it := range []struct {
		what, location string
		options        Options
		says           string
	}{
		{"a file", file, Options{}, "not a directory"},
		{"no bucket", strings.Replace(server.Location, "files", "fils", 1), keys(server), "there is no bucket fils at 127.0.0.1"},
		{"a wrong secret", server.Location, wrong, "does not accept the credentials"},
		{"a wrong key", server.Location, stranger, "No user exists with the provided access key"}, // an answer of this server alone
		{"S3 that is away", away.Location, stranger, "can it be reached from here?"},
		{"another protocol", strings.Replace(server.Location, "http%3A", "https%3A", 1), keys(server), "is that the right endpoint"},
	} {
		_, err := Open(t.Context(), it.location, it.options)
		if err == nil || !strings.Contains(err.Error(), it.says) {
			t.Errorf("%s says %v, want %q", it.what, err, it.says)
			continue
		}
		t.Logf("%s: %v", it.what, err)
		if secret := it.options.Credentials.SecretKey; secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("%s says the secret: %v", it.what, err)
		}
	}
}

func TestADirectoryThatCannotBeWrittenSaysSo(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	directory := t.TempDir()
	if err := os.Chmod(directory, 0o500); err != nil {
		t.Fatal(err)
	}

	_, err := Open(t.Context(), directory, Options{})

	if err == nil || !strings.Contains(err.Error(), "give the directory to the user that runs this server") {
		t.Errorf("it says %v", err)
	}
}

func TestFilesAreForNobodyElse(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "files")
	w := newWorld(t, root, Options{}, nil)
	w.puts("ward/scan", "content")
	if _, err := w.Identity(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestALocationIsCheckedWithoutLooking(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]place{
		"files":          {directory: "files"},
		"/var/lib/files": {directory: "/var/lib/files"},
		`C:\files`:       {directory: `C:\files`},
		"s3://clinic":    {bucket: "clinic", host: "s3.amazonaws.com", secure: true, presign: true},
		"s3://clinic/a/b/?region=eu-central-1": {
			bucket: "clinic", prefix: "a/b/", host: "s3.amazonaws.com", region: "eu-central-1", secure: true, presign: true,
		},
		"s3://clinic?endpoint=http://[::1]:9000/&presign=false":       {bucket: "clinic", host: "[::1]:9000"},
		"s3://clinic/?endpoint=https%3A%2F%2Fs3.example&presign=true": {bucket: "clinic", host: "s3.example", secure: true, presign: true},
	} {
		if got, err := parse(location); got != want || err != nil {
			t.Errorf("%s is %+v, %v, want %+v", location, got, err, want)
		}
	}
	for _, location := range []string{
		"", "s3://", "s3://a", "s3://Under_Score", "s3:///prefix", "ftp://host/files", "file:///var/lib/files",
		"s3://key:sesame@clinic", "s3://sesame@clinic/prefix", "s3://key:sesame@cli nic/", "s3://clinic?secret=sesame", "s3://clinic?presign=sesame",
		"s3://clinic?endpoint=https://key:sesame@s3.example", "s3://clinic?endpoint=s3.example:9000", "s3://clinic?endpoint=ftp://s3.example",
		"s3://clinic?endpoint=https://s3.example/path", "s3://clinic?endpoint=https://s3.example%3Fa=b", "s3://clinic/..", "s3://clinic/a//b",
		"s3://clinic/a%20b", "s3://clinic#sesame", "s3://clinic?a;b=sesame", "s3://clinic?a=%zz",
	} {
		if err := Check(location); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: %v", location, err)
		}
	}
}
