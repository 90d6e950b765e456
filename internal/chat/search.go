package chat

import (
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

const (
	// searchRate and searchBurst are more than anybody types, and too little to go through a book
	// of thousands letter by letter (E39).
	searchRate  = 10
	searchBurst = 60
	// maxSearchers bounds the memory of who searched lately.
	maxSearchers = 10_000
)

// searchers are the people who searched lately, each with what they may still do.
type searchers struct {
	mu     sync.Mutex
	limits map[UserID]*rate.Limiter
}

func (s *searchers) allow(id UserID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limits == nil || len(s.limits) >= maxSearchers {
		s.limits = map[UserID]*rate.Limiter{}
	}
	limit := s.limits[id]
	if limit == nil {
		limit = rate.NewLimiter(searchRate, searchBurst)
		s.limits[id] = limit
	}
	return limit.Allow()
}

// searchWords cuts a search into the pieces that must all occur. Whoever searches too often is
// refused, on each instance by itself.
func (s *Service) searchWords(actor Actor, search string) ([]string, error) {
	search, refused := clean("query", search, MaxSearch, "")
	if refused != nil {
		return nil, refused
	}
	words := strings.Fields(fold(search))
	if len(words) > 0 && !s.searchers.allow(actor.User.ID) {
		return nil, refuse(CodeRateLimited, "You are searching too often. Please wait a moment.")
	}
	return words, nil
}

// contains tells whether all the words occur in a folded text.
func contains(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}
