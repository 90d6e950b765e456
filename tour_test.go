package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTheTourOfTheReadmeIsTrue pastes the README's tour into a shell, with the roster of 50,000
// people, and compares what it prints with what the README says it does.
func TestTheTourOfTheReadmeIsTrue(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	server := starts(t, emptyDir(t))
	var script, want []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSuffix(line, "\n")
			if shown, ok := strings.CutPrefix(line, "#> "); ok {
				want = append(want, shown)
			} else {
				script = append(script, line)
			}
		}
	}
	if len(want) < 20 {
		t.Fatalf("the tour shows only %d answers", len(want))
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(dir, "bin", "corridor")); err != nil {
		t.Fatal(err)
	}
	tour := strings.Join(script, "\n")
	tour = strings.ReplaceAll(tour, "http://127.0.0.1:8080", server.url)
	walks := func(want []string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		shell := exec.CommandContext(ctx, "bash", "-e", "-c", tour)
		shell.Dir, shell.Env = dir, environment(append(in(server.dir), "TMPDIR="+dir)...)
		var stderr strings.Builder
		shell.Stderr = &stderr
		shown, err := shell.Output()
		if err != nil {
			t.Errorf("the tour ended with %v: %s", err, stderr.String())
		}
		got := strings.Split(strings.TrimSpace(string(shown)), "\n")
		for i := range max(len(got), len(want)) {
			switch {
			case i >= len(got):
				t.Errorf("the tour did not print %s", want[i])
			case i >= len(want):
				t.Errorf("the tour also printed %s", got[i])
			default:
				pattern := strings.ReplaceAll(regexp.QuoteMeta(want[i]), "…", ".*")
				if !regexp.MustCompile("^" + pattern + "$").MatchString(got[i]) {
					t.Errorf("the tour printed\n%s, not\n%s", got[i], want[i])
				}
			}
		}
	}

	walks(want)
	want[0] = "Northside: no changes."
	walks(want)
}
