package auth

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

func TestAllowedOrigins(t *testing.T) {
	t.Parallel()
	patterns := []string{"https://chat.example.org", "https://*.clinic.example", "http://localhost:*"}
	allowed, err := AllowedOrigin(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{
		"":                                     true,
		"https://corridor.example":             true, // the server's own host
		"https://CORRIDOR.example":             true,
		"https://corridor.example:8443":        false,
		"https://chat.example.org":             true,
		"http://chat.example.org":              false,
		"https://chat.example.org.evil":        false,
		"https://evilchat.example.org":         false,
		"https://a.clinic.example":             true,
		"https://A.Clinic.Example":             true,
		"http://a.clinic.example":              false,
		"https://clinic.example":               false,
		"https://evil.example/.clinic.example": false,
		"http://localhost:5173":                true,
		"null":                                 false,
		"https://":                             false,
		"://":                                  false,
	} {
		r := httptest.NewRequest(http.MethodGet, "https://corridor.example/graphql", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if got := allowed(r); got != want {
			t.Errorf("%q is allowed: %t, want %t", origin, got, want)
		}
	}
	if !slices.Equal(patterns, []string{"https://chat.example.org", "https://*.clinic.example", "http://localhost:*"}) {
		t.Error("the caller's list was changed")
	}
}

func TestABadOriginPatternIsRefused(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"", "https://[", "a\\"} {
		if _, err := AllowedOrigin([]string{pattern}); err == nil {
			t.Errorf("%q was taken", pattern)
		}
	}
}
