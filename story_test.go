package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unseen are the rows from S8 on of which a person sees nothing: the API alone holds them.
var unseen = map[string]string{
	"S31": "who can be added is asked of the adder's contact list, as every search is",
	"S57": "who may not delete a group has no way to try",
	"S60": "it promises S57 and S59 where nobody looks, too",
}

var rows = regexp.MustCompile(`[SE]\d+`)

// TestEveryRowOfTheStoryHasATest fails when nothing holds a rule of the product.
func TestEveryRowOfTheStoryHasATest(t *testing.T) {
	t.Parallel()
	held, inBrowsers := goTests(t), browserTests(t)
	var all []string
	for i := range 63 {
		all = append(all, fmt.Sprint("S", i+1))
	}
	for i := range 45 {
		all = append(all, fmt.Sprint("E", i+1))
	}
	written, err := os.ReadFile("docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, rule := range regexp.MustCompile(`(?m)^- \*\*([SE]\d+)\*\* `).FindAllSubmatch(written, -1) {
		told = append(told, string(rule[1]))
	}
	if !slices.Equal(told, all) {
		t.Errorf("docs/rules.md tells of the rules %v", told)
	}
	for _, row := range all {
		if len(held[row])+len(inBrowsers[row]) == 0 {
			t.Errorf("%s has no test", row)
		}
	}
	for i := 8; i <= 63; i++ {
		row := fmt.Sprint("S", i)
		if len(inBrowsers[row]) == 0 && unseen[row] == "" {
			t.Errorf("%s has no test in a browser", row)
		}
	}
	for _, tests := range []map[string][]string{held, inBrowsers} {
		for row, names := range tests {
			if !slices.Contains(all, row) {
				t.Errorf("there is no row %s, of which %v speaks", row, names)
			}
		}
	}
}

// goTests are the tests in Go by the rows that their names speak of.
func goTests(t *testing.T) map[string][]string {
	t.Helper()
	held := map[string][]string{}
	eachFile(t, ".", "_test.go", func(path string) error {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(function.Name.Name, "Test") {
				continue
			}
			for _, row := range rows.FindAllString(function.Name.Name, -1) {
				held[row] = append(held[row], function.Name.Name)
			}
		}
		return nil
	})
	return held
}

// title is that of a test of the web client, as in test("S25 S42 a muted chat stays closed", …).
var title = regexp.MustCompile("\\b(?:test|it)\\(\\s*[\"'`]((?:[SE]\\d+,? )+)")

// browserTests are the tests of the web client in a browser, by the rows that their titles begin with.
func browserTests(t *testing.T) map[string][]string {
	t.Helper()
	held := map[string][]string{}
	eachFile(t, "web/test", ".test.ts", func(path string) error {
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range title.FindAllSubmatch(source, -1) {
			for _, row := range rows.FindAllString(string(found[1]), -1) {
				held[row] = append(held[row], path)
			}
		}
		return nil
	})
	return held
}

// eachFile visits the files below a folder whose names end in some way.
func eachFile(t *testing.T, folder, ending string, visit func(path string) error) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && path != "."):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ending):
			return nil
		}
		return visit(path)
	})
	if err != nil {
		t.Fatal(err)
	}
}
