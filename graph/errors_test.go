package graph

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// The first may pass, so that clients try again by themselves; the second would not, so they don't.
func TestADatabaseThatIsAwayIsToldFromAFault(t *testing.T) {
	t.Parallel()
	for code, err := range map[string]error{
		codeUnavailable: fmt.Errorf("send a message: %w", driver.ErrBadConn), codeInternal: errors.New("a bug"),
	} {
		var log strings.Builder

		shown := presenter(slog.New(slog.NewTextHandler(&log, nil)))(t.Context(), err)

		if fault := fmt.Sprint(shown.Extensions["fault"]); shown.Extensions["code"] != code || !strings.Contains(log.String(), fault) || !strings.Contains(log.String(), err.Error()) {
			t.Errorf("%v is shown as %v and logged as %q", err, shown.Extensions, log.String())
		}
	}
}

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
