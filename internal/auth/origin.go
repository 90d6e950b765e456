package auth

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// AllowedOrigin tells which pages may talk to this server: those of its own
// host, and those whose origin matches a pattern, as in "https://chat.example.org"
// or "https://*.example.org". Who is no browser sends no origin, and is let in.
func AllowedOrigin(patterns []string) (func(*http.Request) bool, error) {
	lower := make([]string, len(patterns))
	for i, pattern := range patterns {
		lower[i] = strings.ToLower(pattern)
		if _, err := path.Match(pattern, ""); err != nil || !strings.Contains(pattern, "://") {
			return nil, fmt.Errorf("the origin %q is no pattern: write one as in https://*.example.org", pattern)
		}
	}
	return func(r *http.Request) bool {
		header := r.Header.Get("Origin")
		if header == "" {
			return true
		}
		origin, err := url.Parse(strings.ToLower(header))
		if err != nil || origin.Host == "" {
			return false
		}
		return origin.Host == strings.ToLower(r.Host) || slices.ContainsFunc(lower, func(pattern string) bool {
			matched, _ := path.Match(pattern, origin.Scheme+"://"+origin.Host) // the patterns are good
			return matched
		})
	}, nil
}
