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

// TestTheExamplesForPartnersDoWhatTheySay runs what pages of docs/partners show, against the demo clinic: the lines of the shell, and the programs
// in TypeScript and Go that these start.
func TestTheExamplesForPartnersDoWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"README.md", "documents.md"} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			doesWhatItSays(t, "docs/partners/"+page, "copy", func(page string) string { return page })
		})
	}
}

// doesWhatItSays runs the examples of a page. Programs in it are called by a name.
func doesWhatItSays(t *testing.T, name, program string, adapt func(page string) string, settings ...string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	page := adapt(string(content))
	needsClients(t)
	server := starts(t, demoDir(t), settings...)
	dir := t.TempDir()
	var script, want []string
	for _, block := range regexp.MustCompile("(?s)```(sh|ts|go)\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if block[1] != "sh" {
			ending := map[string]string{"ts": ".mts", "go": ".go"}[block[1]]
			if err := os.WriteFile(filepath.Join(dir, program+ending), []byte(block[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for line := range strings.Lines(block[2]) {
			line = strings.TrimSuffix(line, "\n")
			if shown, ok := strings.CutPrefix(line, "#>"); ok {
				want = append(want, strings.TrimPrefix(shown, " "))
			} else {
				script = append(script, line)
			}
		}
	}
	checkout, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{binary: "bin/corridor", filepath.Join(checkout, "tools/clients/node_modules"): "node_modules"} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	examples := strings.ReplaceAll(strings.Join(script, "\n"), "http://127.0.0.1:8080", server.url)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", examples)
	shell.Dir, shell.Env = dir, environment(append(in(server.dir), "TMPDIR="+dir)...)
	var stderr strings.Builder
	shell.Stderr = &stderr
	shown, err := shell.Output()
	if err != nil {
		t.Errorf("the examples ended with %v: %s", err, stderr.String())
	}
	var pattern strings.Builder
	for _, line := range want {
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", "[^\n]*") + "\n")
	}
	if !regexp.MustCompile("^" + pattern.String() + "$").MatchString(string(shown)) {
		t.Errorf("the examples printed\n%s, not\n%s", shown, strings.Join(want, "\n"))
	}
}
