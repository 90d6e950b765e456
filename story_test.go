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

// elsewhere are the rows of the product that the API does not own, and who does. All others need a
// test here that has them in its name.
var elsewhere = map[string]string{
	"S10": "the web client: the chats dropdown",
	"S14": "the web client: the label New Chat",
	"S19": "the web client: the helper text of no result",
	"S29": "the web client: the pen icon",
	"S32": "the web client: the results dropdown",
	"S35": "the web client: the minus icon",
}

// TestEveryRowOfTheStoryHasATest fails when nothing holds a rule of the product.
func TestEveryRowOfTheStoryHasATest(t *testing.T) {
	t.Parallel()
	held := map[string][]string{}
	rows := regexp.MustCompile(`[SE]\d+`)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
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
	if err != nil {
		t.Fatal(err)
	}
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
		if _, others := elsewhere[row]; !others && len(held[row]) == 0 {
			t.Errorf("%s has no test", row)
		}
	}
	for row, tests := range held {
		if !slices.Contains(all, row) {
			t.Errorf("there is no row %s, of which %v speaks", row, tests)
		}
	}
}
