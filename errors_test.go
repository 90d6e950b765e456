package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2"
	graphql "github.com/vektah/gqlparser/v2/ast"
)

// answering are the packages that answer clients: what they say must be in docs/errors.md.
var answering = []string{"*.go", "graph/*.go", "internal/chat/*.go", "internal/transfer/*.go", "web/*.go"}

// errorCodes are the words, numbers and statuses of failures that stand in the program.
type errorCodes struct{ codes, statuses, closes map[string]bool }

var (
	codeWord     = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)
	nameOfCode   = regexp.MustCompile(`^[cC]ode[A-Z]`)
	nameOfClose  = regexp.MustCompile(`^close[A-Z]`)
	nameOfRefuse = regexp.MustCompile(`^([rR]efus(e|al)|typed)$`)
)

// find looks for the codes of a file: constants that are named so, words that are given to what refuses, and
// what Code is set to.
func (found errorCodes) find(t *testing.T, path string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	isCode := func(value ast.Expr) {
		if word := literal(value); codeWord.MatchString(word) {
			found.codes[word] = true
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.ValueSpec:
			for i, name := range node.Names {
				switch {
				case i >= len(node.Values):
				case nameOfCode.MatchString(name.Name):
					isCode(node.Values[i])
				case nameOfClose.MatchString(name.Name):
					if number := literal(node.Values[i]); len(number) == 4 {
						found.closes[number] = true
					}
				}
			}
		case *ast.CallExpr:
			if nameOfRefuse.MatchString(nameOf(node.Fun)) {
				for _, argument := range node.Args {
					isCode(argument)
				}
			}
		case *ast.KeyValueExpr:
			if nameOf(node.Key) == "Code" || literal(node.Key) == "code" {
				isCode(node.Value)
			}
		case *ast.SelectorExpr:
			switch nameOf(node.X) {
			case "errcode":
				if code := gqlgens[node.Sel.Name]; code != "" {
					found.codes[code] = true
				}
			case "http":
				if status := statuses[node.Sel.Name]; status != 0 {
					found.statuses[strconv.Itoa(status)] = true
				}
			}
		}
		return true
	})
}

// gqlgens are the codes of gqlgen that are let through, by the names that they have there.
var gqlgens = map[string]string{"ParseFailed": errcode.ParseFailed, "ValidationFailed": errcode.ValidationFailed}

// statuses are those of failures by the names that they have in net/http.
var statuses = func() map[string]int {
	named := map[string]int{}
	for status := http.StatusBadRequest; status < 600; status++ {
		if text := http.StatusText(status); text != "" {
			named["Status"+strings.ReplaceAll(text, " ", "")] = status
		}
	}
	return named
}()

func literal(value ast.Expr) string {
	basic, ok := value.(*ast.BasicLit)
	if !ok {
		return ""
	}
	if unquoted, err := strconv.Unquote(basic.Value); err == nil {
		return unquoted
	}
	return basic.Value
}

func nameOf(expression ast.Expr) string {
	switch expression := expression.(type) {
	case *ast.Ident:
		return expression.Name
	case *ast.SelectorExpr:
		return expression.Sel.Name
	}
	return ""
}

// TestEveryCodeOfAFailureIsInTheTable holds docs/errors.md complete: whatever a client can meet stands there, and nothing
// that it can't.
func TestEveryCodeOfAFailureIsInTheTable(t *testing.T) {
	t.Parallel()
	said := errorCodes{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, pattern := range answering {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("there is no %s: %v", pattern, err)
		}
		for _, path := range paths {
			if !strings.HasSuffix(path, "_test.go") {
				said.find(t, path)
			}
		}
	}
	text, err := os.ReadFile("schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&graphql.Source{Name: "schema.graphqls", Input: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	inSchema := map[string]bool{}
	for _, value := range schema.Types["ErrorCode"].EnumValues {
		inSchema[value.Name], said.codes[value.Name] = true, true
	}
	document, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}

	tables := tablesOf(t, string(document))

	for heading, want := range map[string]map[string]bool{"Codes": said.codes, "Statuses of HTTP": said.statuses, "Close codes of WebSockets": said.closes} {
		rows := tables[heading]
		for _, code := range slices.Sorted(maps.Keys(want)) {
			if rows[code] == nil {
				t.Errorf("%s is not in docs/errors.md under %q", code, heading)
			}
		}
		for _, code := range slices.Sorted(maps.Keys(rows)) {
			if !want[code] {
				t.Errorf("docs/errors.md has %s under %q, which nobody can meet", code, heading)
			}
		}
	}
	for code, cells := range tables["Codes"] {
		if in := cells[0] == "yes"; in != inSchema[code] {
			t.Errorf("docs/errors.md says of %s that it is in ErrorCode: %t", code, in)
		}
	}
}

// tablesOf reads the tables of a page by their headings, and their rows by the code that they begin with.
func tablesOf(t *testing.T, page string) map[string]map[string][]string {
	t.Helper()
	tables := map[string]map[string][]string{}
	heading, columns := "", 0
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if of, ok := strings.CutPrefix(line, "## "); ok {
			heading, columns = of, 0
		}
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		code := strings.Trim(cells[0], "`")
		switch {
		case columns == 0:
			columns = len(cells)
			tables[heading] = map[string][]string{}
		case strings.Trim(code, "- ") == "":
		case len(cells) != columns || slices.Contains(cells, "") || cells[0] != fmt.Sprintf("`%s`", code):
			t.Errorf("docs/errors.md has a row that is not whole: %s", line)
		case tables[heading][code] != nil:
			t.Errorf("docs/errors.md has %s twice", code)
		default:
			tables[heading][code] = cells[1:]
		}
	}
	return tables
}
