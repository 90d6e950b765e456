package graph

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"corridor/graph/generated"
)

func TestTextsThatAreKeptTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	const each, all = 10 * (slipBytes + 100), 25 * (slipBytes + 100)
	s := newShelves[uuid.UUID, string](each, all)
	text := strings.Repeat("x", 97) // with a name of three letters a hundred bytes
	kept := func(owner uuid.UUID) (names []string) {
		for i := range 30 {
			if _, ok := s.get(owner, fmt.Sprintf("%03d", i)); ok {
				names = append(names, fmt.Sprint(i))
			}
		}
		return names
	}
	first, second, third := uuid.New(), uuid.New(), uuid.New()

	for i := range 30 {
		s.put(first, fmt.Sprintf("%03d", i), text, len(text))
		s.get(first, "000")
	}
	if got := fmt.Sprint(kept(first)); got != "[0 21 22 23 24 25 26 27 28 29]" {
		t.Errorf("of one owner are kept %s", got)
	}
	for i := range 10 {
		s.put(second, fmt.Sprintf("%03d", i), text, len(text))
		s.put(third, fmt.Sprintf("%03d", i), text, len(text))
	}
	if got := fmt.Sprint(len(kept(first)), len(kept(second)), len(kept(third))); got != "5 10 10" {
		t.Errorf("the owners have %s", got)
	}
	s.put(first, "big", strings.Repeat("x", each), each)
	if _, ok := s.get(first, "big"); ok || len(kept(first)) != 5 {
		t.Error("a text that is too large was kept, or made room")
	}
	for range 50 {
		s.put(uuid.New(), "000", text, len(text))
	}
	if s.bytes > all || s.owners.Len() > all/slipBytes {
		t.Errorf("%d bytes of %d owners", s.bytes, s.owners.Len())
	}
}

func TestTextsAreKeptByManyAtATime(t *testing.T) {
	t.Parallel()
	s := newShelves[uuid.UUID, string](2000, 5000)
	owners := []uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				owner, name := owners[(i+j)%len(owners)], fmt.Sprint(j%17)
				s.put(owner, name, owner.String()+name, len(owner.String()+name))
				if text, ok := s.get(owner, name); ok && text != owner.String()+name {
					t.Errorf("%s is %q", name, text)
				}
			}
		})
	}
	all.Wait()
	bytes := 0
	for _, of := range s.owners.Values() {
		for _, name := range of.kept.Keys() {
			text, _ := of.kept.Peek(name)
			bytes += slipBytes + len(name) + len(text.value)
		}
	}
	if bytes != s.bytes || bytes > 5000 {
		t.Errorf("%d bytes are kept, and %d counted", bytes, s.bytes)
	}
}

// dense are documents of many fields and few letters, which take most for each of them, all different.
func dense(i int) string {
	return fmt.Sprintf("query Q%d { viewer { %s } }", i, repeat(10, "a%d: conversations { nodes { "+strings.Repeat("id ", 60)+"} }"))
}

// It measures the heap, so nothing runs beside it.
func TestValidatedDocumentsTakeBoundedMemory(t *testing.T) { //nolint:paralleltest // see above
	const bound = 4 << 20
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	s := newShelves[string, *ast.QueryDocument](bound, bound)
	cache := validated{s, people}
	asks := func(text string) {
		t.Helper()
		if _, ok := cache.Get(t.Context(), text); ok {
			return
		}
		document, err := parser.ParseQuery(&ast.Source{Input: text})
		if err != nil {
			t.Fatal(err)
		}
		if errs := validator.ValidateWithRules(schema, document, rules.NewDefaultRules()); len(errs) > 0 {
			t.Fatal(errs)
		}
		cache.Add(t.Context(), text, document)
	}
	heap := func() int {
		var now runtime.MemStats
		runtime.GC()
		runtime.GC() // what the first one found is free
		runtime.ReadMemStats(&now)
		return int(now.HeapAlloc)
	}
	asks(introspectionQuery)
	before := heap()

	const many = 60
	for i := range many {
		asks(dense(i))
		asks(introspectionQuery)
	}

	grown := heap() - before
	of, _ := s.owners.Peek(people)
	if s.bytes > bound || of.kept.Len() < 10 || of.kept.Len() > many/2 {
		t.Errorf("%d documents are kept, in %d bytes by our count", of.kept.Len(), s.bytes)
	}
	// What is counted is what there is, but for the texts and a little: the tokens of these take the most.
	if grown > bound*11/10 || grown < bound*8/10 {
		t.Errorf("the heap has grown by %d bytes, and %d are counted", grown, s.bytes)
	}
	if _, ok := cache.Get(t.Context(), introspectionQuery); !ok {
		t.Error("what was asked for all the time is forgotten")
	}
	if _, ok := cache.Get(t.Context(), dense(0)); ok {
		t.Error("what nobody asked for any more is kept")
	}
	if _, ok := (validated{s, administrators}).Get(t.Context(), introspectionQuery); ok {
		t.Error("what is valid for one surface is for another")
	}
	runtime.KeepAlive(s)
}
