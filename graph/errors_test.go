package graph

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestWhoIsGoneIsNoFault(t *testing.T) {
	t.Parallel()
	gone, leave := context.WithCancel(context.Background())
	leave()
	late, cut := context.WithCancelCause(context.Background())
	cut(errTimeout)
	for who, c := range map[string]struct {
		ctx  context.Context
		logs int
	}{
		"who waits": {context.Background(), 1}, "who is gone": {gone, 0}, "who was cut off by us": {late, 1},
	} {
		var log strings.Builder
		options := Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}

		shown := presenter(options.Logger)(c.ctx, errors.New("a secret"))

		if got := strings.Count(log.String(), "\n"); got != c.logs || strings.Contains(shown.Error(), "secret") {
			t.Errorf("of %s it logs %d lines and shows %v", who, got, shown)
		}
		log.Reset()
		if err := unavailable(c.ctx, options, errors.New("a secret")); err != errUnavailable || strings.Count(log.String(), "\n") != c.logs { //nolint:errorlint // nothing may be wrapped around it
			t.Errorf("of %s who can't sign in it logs %q and returns %v", who, log.String(), err)
		}
	}
}
