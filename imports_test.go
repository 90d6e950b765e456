package main

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport says which packages of ours a package may know, tests aside. ARCHITECTURE.md says why.
var mayImport = map[string][]string{
	".":                    {"graph", "graph/scalar", "internal/auth", "internal/chat", "internal/blob", "internal/budget", "internal/clamav", "internal/courtesy", "internal/demo", "internal/eventlog", "internal/media", "internal/postgres", "internal/scim", "internal/transfer", "internal/webhook", "migrations", "web"},
	"graph":                {"graph/execution", "graph/generated", "graph/scalar", "internal/auth", "internal/budget", "internal/chat", "internal/courtesy", "internal/transfer"},
	"graph/execution":      {},
	"graph/generate":       {},
	"graph/generated":      {"graph/execution", "graph/scalar", "internal/chat"},
	"graph/scalar":         {"internal/chat"},
	"internal/auth":        {"graph/scalar", "internal/chat"},
	"internal/bench":       {"internal/auth", "internal/postgres", "migrations"},
	"internal/blob":        {},
	"internal/budget":      {},
	"internal/clamav":      {},
	"internal/clamavtest":  {},
	"internal/media":       {},
	"internal/s3test":      {},
	"internal/chat":        {"internal/blob", "internal/clamav", "internal/eventlog", "internal/media", "internal/postgres"},
	"internal/courtesy":    {},
	"internal/demo":        {"internal/chat"},
	"internal/eventlog":    {},
	"internal/natstest":    {},
	"internal/oidctest":    {},
	"internal/postgres":    {},
	"internal/pgtest":      {"internal/postgres", "migrations"},
	"internal/pgtest/look": {"internal/postgres"},
	"internal/scim":        {"graph/scalar", "internal/auth", "internal/budget", "internal/chat"},
	"internal/transfer":    {"graph/scalar", "internal/auth", "internal/budget", "internal/chat", "internal/courtesy"},
	"internal/webhook":     {"graph/scalar", "internal/chat"},
	"migrations":           {},
	"web":                  {"internal/transfer"},
}

// mayNotImport keeps the database out of graph, and GraphQL and HTTP out of chat.
var mayNotImport = map[string][]string{
	"graph":             {"database/sql", "github.com/jmoiron/sqlx", "github.com/lib/pq"},
	"graph/scalar":      {"database/sql", "github.com/jmoiron/sqlx", "github.com/lib/pq"},
	"internal/chat":     {"net/http", "github.com/99designs/gqlgen", "github.com/vektah/gqlparser"},
	"internal/eventlog": {"net/http", "github.com/99designs/gqlgen", "github.com/vektah/gqlparser"},
}

// TestWhoKnowsWhom holds the house together: who may import whom.
func TestWhoKnowsWhom(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"graph/*.go", "graph/*/*.go", "internal/*/*.go", "internal/*/*/*.go", "migrations/*.go", "web/*.go"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	seen := map[string]bool{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		of := filepath.ToSlash(filepath.Dir(path))
		allowed, known := mayImport[of]
		if !known {
			t.Errorf("%s is a new package: say here whom it may import", of)
			continue
		}
		seen[of] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range file.Imports {
			name, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if ours, ok := strings.CutPrefix(name, "corridor/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s may not import %s", path, name)
			}
			for _, forbidden := range mayNotImport[of] {
				if name == forbidden || strings.HasPrefix(name, forbidden+"/") {
					t.Errorf("%s may not import %s", path, name)
				}
			}
		}
	}
	for of := range mayImport {
		if !seen[of] {
			t.Errorf("there is no package %s any more", of)
		}
	}
}
