package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"
)

// disk is a directory with a directory for each folder.
type disk struct {
	root string
	// work is the directory of what is not a blob yet. It is in the same file system, so that a rename
	// makes it one.
	work string
}

func openDisk(ctx context.Context, directory string) (*disk, error) {
	root, err := filepath.Abs(directory)
	if err != nil {
		return nil, err
	}
	d := &disk{root: root, work: filepath.Join(root, ".work")}
	err = makeDirectories(d.work)
	if err == nil {
		err = probe(ctx, d)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("files can't be kept in %s: %w: give the directory to the user that runs this server", root, err)
	}
	if err != nil {
		return nil, fmt.Errorf("files can't be kept in %s: %w", root, err)
	}
	return d, nil
}

func (d *disk) Put(ctx context.Context, name string, from io.Reader, size int64) error {
	if err := checkNames(name); err != nil {
		return err
	}
	file, err := os.CreateTemp(d.work, "blob-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // by then it is gone, if all went well
	_, err = io.Copy(file, &exact{ctx, from, size})
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("put the blob %s: %w", name, err)
	}
	return d.publish(file.Name(), d.path(name))
}

// publish gives a file that is on the disk its name, and puts that on the disk.
func (d *disk) publish(file, path string) error {
	folder := filepath.Dir(path)
	for try := 0; ; try++ {
		if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		err := os.Rename(file, path)
		if err == nil {
			break
		}
		// Whoever removed the last blob of the folder removed the folder too.
		if !errors.Is(err, fs.ErrNotExist) || try == 100 {
			return err
		}
	}
	// The folder too: if another Put has made it, that may not have come this far.
	return errors.Join(syncDirectory(folder), syncDirectory(d.root))
}

func (d *disk) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := errors.Join(checkNames(name), ctx.Err()); err != nil {
		return nil, err
	}
	file, err := os.Open(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (d *disk) Remove(ctx context.Context, names ...string) error {
	if err := checkNames(names...); err != nil {
		return err
	}
	changed := map[string]bool{}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		changed[filepath.Dir(d.path(name))] = true
	}
	for folder := range changed {
		if err := syncDirectory(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		_ = os.Remove(folder) // if it is empty now
	}
	return nil
}

func (d *disk) RemoveAll(ctx context.Context, folder string) error {
	if err := errors.Join(checkFolder(folder), ctx.Err()); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(d.root, folder)); err != nil {
		return err
	}
	return syncDirectory(d.root)
}

func (d *disk) Folders(ctx context.Context) iter.Seq2[Folder, error] {
	return func(yield func(Folder, error) bool) {
		err := errors.Join(d.tidy(ctx), each(ctx, d.root, func(entry fs.DirEntry) (bool, error) {
			if !entry.IsDir() || !ours(entry.Name()) {
				return true, nil
			}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return true, nil // it was removed meanwhile
			}
			if err != nil {
				return false, err
			}
			return yield(Folder{Name: entry.Name(), Changed: info.ModTime()}, nil), nil
		}))
		if err != nil {
			yield(Folder{}, err)
		}
	}
}

// tidy removes what crashes left behind.
func (d *disk) tidy(ctx context.Context) error {
	return each(ctx, d.work, func(entry fs.DirEntry) (bool, error) {
		info, err := entry.Info()
		if err == nil && time.Since(info.ModTime()) > leftover {
			err = os.Remove(filepath.Join(d.work, entry.Name()))
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // it has become a blob
		}
		return true, err
	})
}

// each calls visit with what is in a directory until it returns false or an error.
func each(ctx context.Context, directory string, visit func(fs.DirEntry) (bool, error)) error {
	listing, err := os.Open(directory)
	if err != nil {
		return err
	}
	defer listing.Close()
	for {
		entries, err := listing.ReadDir(256)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			if more, err := visit(entry); err != nil || !more {
				return err
			}
		}
	}
}

func (d *disk) Address(context.Context, string, time.Duration, Presentation) (string, error) {
	return "", nil
}

func (d *disk) Identity(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	path := filepath.Join(d.root, identity)
	said, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.makeIdentity(path); err != nil {
			return "", fmt.Errorf("make the identity of %s: %w", d.root, err)
		}
		said, err = os.ReadFile(path)
	}
	if err != nil {
		return "", err
	}
	return readIdentity(said)
}

// makeIdentity puts a new identity into a file that is whole from the first moment, unless another
// process was faster.
func (d *disk) makeIdentity(path string) error {
	file, err := os.CreateTemp(d.work, "identity-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // the link stays
	_, err = fmt.Fprintln(file, uuid.NewString())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(d.root)
}

func (d *disk) Scratch() (*os.File, error) { return scratch(d.work) }

func (d *disk) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// scratch makes a file that is gone when it is closed, or, where an open file can't be removed, with
// what crashes leave behind.
func scratch(directory string) (*os.File, error) {
	file, err := os.CreateTemp(directory, "corridor-scratch-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file.Name())
	return file, nil
}

// readIdentity refuses what is no identity, such as an empty file.
func readIdentity(said []byte) (string, error) {
	id, err := uuid.Parse(strings.TrimSpace(string(said)))
	if err != nil {
		return "", fmt.Errorf("%s holds no identity: put the one that it held back", identity)
	}
	return id.String(), nil
}

// makeDirectories makes a directory and those it is in, and puts their names on the disk.
func makeDirectories(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := makeDirectories(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(parent)
}

// syncDirectory puts the names in a directory on the disk. Windows does so by itself.
func syncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
