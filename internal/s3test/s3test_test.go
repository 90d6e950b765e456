package s3test_test

import (
	"net/http"
	"net/url"
	"testing"

	"corridor/internal/s3test"
)

func TestAServerIsAwayAndComesBack(t *testing.T) {
	t.Parallel()
	server := s3test.Server(t)
	at, err := url.Parse(server.Location)
	if err != nil {
		t.Fatal(err)
	}
	answers := func() bool {
		answer, err := http.Get(at.Query().Get("endpoint"))
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	}
	if !answers() {
		t.Error("it does not answer")
	}

	server.Stop()

	if answers() {
		t.Error("it answers though it was stopped")
	}

	server.Start()

	if !answers() {
		t.Error("it does not answer after it was started again")
	}
}
