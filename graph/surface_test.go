package graph_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
)

// audiences are for whom fields are, by the letter that stands for them in surfaceTable.
var audiences = []struct {
	letter string
	scope  string // none for people
}{
	{"P", ""}, {"A", ""}, {"c", "CONTACTS_READ"}, {"r", "ROSTER_WRITE"}, {"v", "CONVERSATIONS_READ"}, {"s", "CONVERSATIONS_WRITE"}, {"w", "WEBHOOKS_WRITE"},
}

// readSurfaces reads surfaceTable: for each field the letters of those to whom it exists.
func readSurfaces(t *testing.T) map[string]string {
	t.Helper()
	table := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(surfaceTable), "\n") {
		words := strings.Fields(line)
		if len(words) != 2 || table[words[0]] != "" {
			t.Fatalf("not a field and its letters, once: %s", line)
		}
		table[words[0]] = words[1]
	}
	return table
}

// TestEveryFieldIsThereForItsScopesAndNobodyElse asks, with a key for each scope and as people, for the schema there is.
func TestEveryFieldIsThereForItsScopesAndNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Grace Hall", "Bob Roy")
	grace, bob := people[0].administers(), people[1]
	account := grace.serviceAccount("Lab results")
	got := map[string]string{}
	for _, audience := range audiences {
		as := bob
		switch {
		case audience.letter == "A":
			as = grace
		case audience.scope != "":
			as = grace.gives(account, audience.scope).person
		}
		for _, field := range as.schema() {
			got[field] += audience.letter
		}
	}
	want := readSurfaces(t)
	for _, field := range slices.Sorted(maps.Keys(got)) {
		if got[field] != want[field] {
			t.Errorf("%s is there for %s, not %q", field, got[field], want[field])
		}
		delete(want, field)
	}
	for field := range want {
		t.Errorf("%s is there for nobody", field)
	}
	schema, _ := readSchema(t)
	for _, kind := range ours(schema) {
		for _, field := range kind.Fields {
			if name := kind.Name + "." + field.Name; !strings.HasPrefix(field.Name, "__") && got[name] == "" {
				t.Errorf("%s is there for nobody", name)
			}
		}
	}

	// With all scopes there is what there is for each, and no more.
	all := grace.gives(account, "CONTACTS_READ", "ROSTER_WRITE", "CONVERSATIONS_READ", "CONVERSATIONS_WRITE", "WEBHOOKS_WRITE")
	for _, field := range all.schema() {
		if strings.Trim(got[field], "PA") == "" {
			t.Errorf("%s is there for all scopes together, and for none", field)
		}
		delete(got, field)
	}
	for field, letters := range got {
		if strings.Trim(letters, "PA") != "" {
			t.Errorf("%s is there for %s, and not for all scopes together", field, letters)
		}
	}
}

// schema is every field that introspection shows the person, as Type.field, input fields too.
func (p *person) schema() (fields []string) {
	p.world.t.Helper()
	shown := p.sees(`{ __schema { directives { name } types { name kind fields(includeDeprecated: true) { name } inputFields { name } } } }`, nil)
	for _, directive := range shown.list("__schema.directives") {
		if directive.text("name") == "access" {
			p.world.t.Error("introspection shows who else may use what")
		}
	}
	for _, kind := range shown.list("__schema.types") {
		if strings.HasPrefix(kind.text("name"), "__") {
			continue
		}
		for _, field := range append(kind.list("fields"), kind.list("inputFields")...) {
			fields = append(fields, kind.text("name")+"."+field.text("name"))
		}
	}
	return fields
}

// TestWhatIsOutsideAKeysScopesIsAsUnknownAsWhatNobodyEverHeardOf compares the answers by body, code and statements, on every path.
func TestWhatIsOutsideAKeysScopesIsAsUnknownAsWhatNobodyEverHeardOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	account := grace.serviceAccount("Lab results")
	schema, _ := readSchema(t)
	for letter, fields := range outside(readSurfaces(t)) {
		key := grace.gives(account, audiences[slices.IndexFunc(audiences, func(a struct{ letter, scope string }) bool { return a.letter == letter })].scope)
		there := map[string]bool{}
		for _, field := range key.schema() {
			there[field] = true
		}
		for _, name := range fields {
			kind, field, _ := strings.Cut(name, ".")
			nonsense := field[:len(field)-1] + "Q"
			root := map[string]string{"Query": "query", "Mutation": "mutation", "Subscription": "subscription"}[kind]
			ask := func(field string) outcome {
				if root != "" {
					return key.executes(root+" { "+field+" }", nil)
				}
				return key.executes("query { viewer { ... on "+kind+" { "+field+" } } }", nil)
			}
			if definition := schema.Types[kind]; definition.Kind == ast.InputObject {
				continue // reached by variables only of operations that are compared themselves
			}
			hidden, unknown := ask(field), ask(nonsense)
			if hidden.status != unknown.status || headerOf(hidden.header) != headerOf(unknown.header) || hidden.statements != unknown.statements || nameless(t, hidden.body, field) != nameless(t, unknown.body, nonsense) {
				t.Errorf("%s with %s:\n%s\n%s", name, letter, hidden.body, unknown.body)
			}
		}
	}
}

// outside is what of the table is not there for each scope.
func outside(table map[string]string) map[string][]string {
	fields := map[string][]string{}
	for field, letters := range table {
		for _, audience := range audiences {
			if audience.scope != "" && !strings.Contains(letters, audience.letter) {
				fields[audience.letter] = append(fields[audience.letter], field)
			}
		}
	}
	return fields
}

// nameless is an answer without the name that was asked for, and without what it may have meant instead, which depends on the name.
func nameless(t *testing.T, body, name string) string {
	t.Helper()
	var answer struct {
		Errors []struct {
			Message    string
			Extensions map[string]any
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	for i, failure := range answer.Errors {
		message, _, _ := strings.Cut(failure.Message, " Did you mean")
		answer.Errors[i].Message = strings.ReplaceAll(message, `"`+name+`"`, "THIS")
	}
	written, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(written)
}

// TestNothingOfTheRootIsForAllByForgetfulness holds that what leads anywhere says whom it is for, and that a field of an
// interface is for whom it is in the types that implement it.
func TestNothingOfTheRootIsForAllByForgetfulness(t *testing.T) {
	t.Parallel()
	schema, _ := readSchema(t)
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, field := range root.Fields {
			if !strings.HasPrefix(field.Name, "__") && field.Directives.ForName("access") == nil {
				t.Errorf("%s.%s does not say by @access whom it is for", root.Name, field.Name)
			}
		}
	}
	written := func(field *ast.FieldDefinition) string {
		access := field.Directives.ForName("access")
		if access == nil {
			return ""
		}
		var arguments []string
		for _, argument := range access.Arguments {
			arguments = append(arguments, argument.Name+argument.Value.String())
		}
		return strings.Join(arguments, " ")
	}
	for _, kind := range ours(schema) {
		for _, name := range kind.Interfaces {
			for _, field := range schema.Types[name].Fields {
				if got, want := written(kind.Fields.ForName(field.Name)), written(field); got != want {
					t.Errorf("%s.%s is for %q, and %s.%s for %q", kind.Name, field.Name, got, name, field.Name, want)
				}
			}
		}
	}
}
