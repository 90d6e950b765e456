// Package blob keeps the bytes of files, in a directory or in a bucket of S3.
//
// A blob appears whole or not at all: it is written where nobody looks and put under its name in one
// step. When Put returns it has reached the disk, with its name, or S3 has confirmed it. What a crash
// left half written is invisible, and Folders removes it a day later. Bytes pass through in small pieces,
// so memory does not grow with blobs.
package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ErrNotFound says that there is no blob of that name.
var ErrNotFound = errors.New("there is no such blob")

// Store keeps blobs: bytes under a name, written whole, never changed afterwards.
//
// A name is a folder and a name in it, "folder/name", both of at most 200 letters, digits, "_", "-" and
// ".", and not beginning with ".". Any other is refused, so no name leads out of the store. All methods
// may be used at once, by many processes too, and give up when their context ends.
type Store interface {
	// Put writes a blob of exactly size bytes; fewer or more are an error. It is durable when Put
	// returns, and not there before. A blob of that name is replaced whole. After an error all is as
	// it was, unless the error is the store's, at the last moment: then the blob may be there, whole.
	Put(ctx context.Context, name string, from io.Reader, size int64) error

	// Open reads a blob from an offset to its end. At the end and beyond it there is nothing to read.
	// If there is no such blob, errors.Is(err, ErrNotFound). The context must last until all is read:
	// with S3, reading ends when it does.
	Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error)

	// Remove removes blobs. What is not there is no error.
	Remove(ctx context.Context, names ...string) error

	// RemoveAll removes all blobs of a folder. Nothing there is no error.
	RemoveAll(ctx context.Context, folder string) error

	// Folders yields every folder once, in any order, for finding those that nothing refers to. It
	// passes over folders whose name does not begin with a UUID: they are somebody else's. An error is the last
	// that it yields.
	Folders(ctx context.Context) iter.Seq2[Folder, error]

	// Address returns an address from which anybody can fetch the blob for life, between a second and
	// seven days, or "" if the store has none: then the caller passes the bytes on.
	Address(ctx context.Context, name string, life time.Duration, as Presentation) (string, error)

	// Identity returns what tells this store from all others. The first call makes it up; all calls
	// of all processes return the same.
	Identity(ctx context.Context) (string, error)

	// Scratch returns an empty file for bytes on their way into the store. It has no name, where the
	// system allows that, so it is gone when it is closed.
	Scratch() (*os.File, error)
}

// Folder is a folder of a store.
type Folder struct {
	Name string
	// Changed is when its newest blob was put, or later.
	Changed time.Time
}

// Presentation is how an address presents a blob: headers of the answer.
type Presentation struct {
	ContentType, ContentDisposition string
}

// Options are what a location does not say.
type Options struct {
	// Credentials for S3. Without any they come from the environment (AWS_ACCESS_KEY_ID,
	// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), the shared credentials file, or the machine's role.
	Credentials Credentials
}

// Credentials are those of S3.
type Credentials struct {
	AccessKey, SecretKey, SessionToken string
}

// Open returns the store at a location, for which see Check, after it has written, read and removed a
// blob there. Its errors tell an operator what to do, and hold no secrets.
func Open(ctx context.Context, location string, options Options) (Store, error) {
	at, err := parse(location)
	if err != nil {
		return nil, err
	}
	if at.bucket == "" {
		return openDisk(ctx, at.directory)
	}
	return openS3(ctx, at, options)
}

// Origin returns the origin of all addresses that a store gives out, such as https://files.s3.eu-west-1.amazonaws.com,
// or "" if it gives out none.
func Origin(ctx context.Context, store Store) (string, error) {
	address, err := store.Address(ctx, probes+"/origin", time.Second, Presentation{})
	if err != nil || address == "" {
		return "", err
	}
	at, err := url.Parse(address)
	if err != nil {
		return "", errors.New("the store gives out addresses that can't be read") // and must not be quoted
	}
	return at.Scheme + "://" + at.Host, nil
}

// probes is the folder of what is written to see whether it can be read. It bears no UUID: to who starts at the
// same time, or after one that was killed, it is no folder with files.
const probes = "corridor.probes"

// probe writes, reads and removes a blob. Should it be cut short, a few bytes stay behind.
func probe(ctx context.Context, store Store) error {
	name, content := probes+"/"+uuid.NewString(), []byte("Can this be read again?")
	if err := store.Put(ctx, name, bytes.NewReader(content), int64(len(content))); err != nil {
		return err
	}
	read, err := readAll(ctx, store, name)
	if err := errors.Join(err, store.Remove(ctx, name)); err != nil {
		return err
	}
	if !bytes.Equal(read, content) {
		return errors.New("what was written reads differently")
	}
	if _, err := readAll(ctx, store, name); !errors.Is(err, ErrNotFound) {
		return errors.Join(errors.New("what was removed is still there"), err)
	}
	return nil
}

func readAll(ctx context.Context, store Store, name string) ([]byte, error) {
	blob, err := store.Open(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(blob)
}

// checkNames refuses what is no name of a blob.
func checkNames(names ...string) error {
	for _, name := range names {
		folder, rest, found := strings.Cut(name, "/")
		if !found || !plain(folder) || !plain(rest) {
			return fmt.Errorf("%q is no name of a blob", name)
		}
	}
	return nil
}

func checkFolder(folder string) error {
	if !plain(folder) {
		return fmt.Errorf("%q is no folder of blobs", folder)
	}
	return nil
}

// plain tells whether a part of a name is one that all stores can keep, and no file of our own.
func plain(part string) bool {
	return part != identity && letters.MatchString(part)
}

var letters = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}$`)

// ours tells whether a folder bears a UUID as we write it, and perhaps something behind a dot.
func ours(folder string) bool {
	folder, _, _ = strings.Cut(folder, ".")
	id, err := uuid.Parse(folder)
	return err == nil && id.String() == folder
}

// identity is the name of the file with the identity, beside the folders.
const identity = "corridor.identity"

// leftover is the age at which something half written is nobody's any more.
const leftover = 24 * time.Hour

// exact passes on a reader that must have exactly some number of bytes, as long as the context lasts.
// The last byte comes only when it is known that there are no more, and none come with an error.
type exact struct {
	ctx  context.Context
	from io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.from.Read(p)
	e.left -= int64(n)
	if e.left == 0 && err == nil {
		var more int
		more, err = io.ReadFull(e.from, make([]byte, 1))
		e.left -= int64(more)
	}
	switch {
	case e.ctx.Err() != nil:
		return 0, e.ctx.Err()
	case err != nil && err != io.EOF:
		return 0, fmt.Errorf("read the bytes: %w", err)
	case e.left < 0:
		return 0, errors.New("there are more bytes than announced")
	case err == io.EOF && e.left > 0:
		return 0, fmt.Errorf("the bytes end %d too early", e.left)
	}
	return n, err
}
