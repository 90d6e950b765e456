package graph

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
)

// slipBytes is about what a value takes beside itself and its name.
const slipBytes = 256

// shelves keep values in memory, for each owner those that were asked for last: each owner may have so many bytes, and all
// together. The owner who asked least recently makes room for others.
type shelves[K comparable, V any] struct {
	each, all int

	mu     sync.Mutex
	owners *simplelru.LRU[K, *shelf[V]]
	bytes  int
}

type shelf[V any] struct {
	kept  *simplelru.LRU[string, weighed[V]]
	bytes int
}

type weighed[V any] struct {
	value V
	bytes int
}

func newShelves[K comparable, V any](each, all int) *shelves[K, V] {
	return &shelves[K, V]{each: each, all: all, owners: newLRU[K, *shelf[V]](all/slipBytes + 1)}
}

func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	lru, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return lru
}

func (s *shelves[K, V]) get(owner K, name string) (value V, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of, has := s.owners.Get(owner); has {
		var found weighed[V]
		found, ok = of.kept.Get(name)
		value = found.value
	}
	return value, ok
}

// put keeps a value that takes so many bytes beside its name, unless that is more than an owner may have.
func (s *shelves[K, V]) put(owner K, name string, value V, bytes int) {
	bytes += slipBytes + len(name)
	if bytes > s.each {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of, ok := s.owners.Get(owner)
	if !ok {
		of = &shelf[V]{kept: newLRU[string, weighed[V]](s.each/slipBytes + 1)}
		s.owners.Add(owner, of)
	}
	if _, ok := of.kept.Get(name); ok {
		return
	}
	for of.bytes+bytes > s.each {
		s.drop(of)
	}
	for s.bytes+bytes > s.all {
		oldest, from, _ := s.owners.GetOldest() // another one, which has something
		s.drop(from)
		if from.kept.Len() == 0 {
			s.owners.Remove(oldest)
		}
	}
	of.kept.Add(name, weighed[V]{value, bytes})
	of.bytes += bytes
	s.bytes += bytes
}

// drop drops what was asked for least recently.
func (s *shelves[K, V]) drop(from *shelf[V]) {
	_, dropped, ok := from.kept.RemoveOldest()
	if !ok {
		panic("there is nothing to drop") // what is counted is there
	}
	from.bytes -= dropped.bytes
	s.bytes -= dropped.bytes
}

// tokenBytes is the most that a token of a document takes once it is parsed and validated, measured as heap in use: 216 where
// each is a field of its own ("id id id") or an element of a list, 80 to 110 in documents that people write. A byte of text takes
// from nothing, in a comment, to 72, so the text says little.
const tokenBytes = 220

// validated are documents that were found valid for a surface, by their texts.
type validated struct {
	*shelves[string, *ast.QueryDocument]
	surface string
}

var _ graphql.Cache[*ast.QueryDocument] = validated{}

// Get implements graphql.Cache.
func (v validated) Get(_ context.Context, text string) (*ast.QueryDocument, bool) {
	return v.get(v.surface, text)
}

// Add implements graphql.Cache.
func (v validated) Add(_ context.Context, text string, document *ast.QueryDocument) {
	v.put(v.surface, text, document, tokenBytes*tokens(text))
}

// tokens is how many there are in a document that could be parsed.
func tokens(document string) (n int) {
	for l := lexer.New(&ast.Source{Input: document}); ; n++ {
		if token, err := l.ReadToken(); err != nil || token.Kind == lexer.EOF {
			return n
		}
	}
}
