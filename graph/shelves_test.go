package graph

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

func TestTextsThatAreKeptTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	const each, all = 10 * (slipBytes + 100), 25 * (slipBytes + 100)
	s := newShelves(each, all)
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
		s.put(first, fmt.Sprintf("%03d", i), text)
		s.get(first, "000")
	}
	if got := fmt.Sprint(kept(first)); got != "[0 21 22 23 24 25 26 27 28 29]" {
		t.Errorf("of one owner are kept %s", got)
	}
	for i := range 10 {
		s.put(second, fmt.Sprintf("%03d", i), text)
		s.put(third, fmt.Sprintf("%03d", i), text)
	}
	if got := fmt.Sprint(len(kept(first)), len(kept(second)), len(kept(third))); got != "5 10 10" {
		t.Errorf("the owners have %s", got)
	}
	s.put(first, "big", strings.Repeat("x", each))
	if _, ok := s.get(first, "big"); ok || len(kept(first)) != 5 {
		t.Error("a text that is too large was kept, or made room")
	}
	for range 50 {
		s.put(uuid.New(), "000", text)
	}
	if s.bytes > all || s.owners.Len() > all/slipBytes {
		t.Errorf("%d bytes of %d owners", s.bytes, s.owners.Len())
	}
}

func TestTextsAreKeptByManyAtATime(t *testing.T) {
	t.Parallel()
	s := newShelves(2000, 5000)
	owners := []uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				owner, name := owners[(i+j)%len(owners)], fmt.Sprint(j%17)
				s.put(owner, name, owner.String()+name)
				if text, ok := s.get(owner, name); ok && text != owner.String()+name {
					t.Errorf("%s is %q", name, text)
				}
			}
		})
	}
	all.Wait()
	bytes := 0
	for _, of := range s.owners.Values() {
		for _, name := range of.texts.Keys() {
			text, _ := of.texts.Peek(name)
			bytes += slipBytes + len(name) + len(text)
		}
	}
	if bytes != s.bytes || bytes > 5000 {
		t.Errorf("%d bytes are kept, and %d counted", bytes, s.bytes)
	}
}
