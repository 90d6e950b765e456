package pgtest

import (
	"testing"
	"time"
)

// Eventually waits for what comes soon.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	enough := time.After(20 * time.Second)
	for !is() {
		select {
		case <-look.C:
		case <-enough:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
