package graph

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
)

const limit = 15 * time.Second

// start begins an operation against a stub in which a second is a second of
// the test's own clock; next gives its next response.
func start(t *testing.T, s *stub, query string) (next func() *graphql.Response) {
	t.Helper()
	exec := executor.New(s.schema)
	exec.Use(timeLimit(limit))
	ctx, cancel := context.WithCancel(graphql.StartOperationTrace(t.Context()))
	t.Cleanup(cancel)
	operation, errs := exec.CreateOperationContext(ctx, &graphql.RawParams{Query: query})
	if errs != nil {
		t.Fatal(errs)
	}
	running := run(ctx, exec, operation, func() {})
	return func() *graphql.Response {
		for {
			response, what, again := running.next()
			if what != notYet {
				return response
			}
			time.Sleep(again) // by the test's own clock: it takes no time
		}
	}
}

// stuck is a resolver that would take for ever.
func stuck(ctx context.Context) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func wantTimeout(t *testing.T, response *graphql.Response) {
	t.Helper()
	if response == nil || len(response.Errors) != 1 || response.Errors[0].Extensions["code"] != "TIMEOUT" || string(response.Data) != "null" {
		t.Errorf("got %+v, want TIMEOUT and nothing else", response)
	}
}

func wantData(t *testing.T, response *graphql.Response, data string) {
	t.Helper()
	if response == nil || response.Errors != nil || string(response.Data) != data {
		t.Errorf("got %+v, want %s", response, data)
	}
}

func TestAQueryIsCutInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStub(DefaultLimits)
		s.name = stuck
		next, started := start(t, s, "{name}"), time.Now()

		response := next()

		wantTimeout(t, response)
		if took := time.Since(started); took != limit {
			t.Errorf("it was cut after %v, want %v", took, limit)
		}
	})
}

func TestAQueryInTimeIsNotTouched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStub(DefaultLimits)
		s.name = func(context.Context) (string, error) {
			time.Sleep(limit - 1)
			return "Ann", nil
		}

		wantData(t, start(t, s, "{name}")(), `"Ann"`)
	})
}

func TestAFailureInTimeIsNotCalledATimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStub(DefaultLimits)
		s.name = func(context.Context) (string, error) { return "", context.DeadlineExceeded }

		response := start(t, s, "{name}")()

		if len(response.Errors) != 1 || response.Errors[0].Extensions["code"] == "TIMEOUT" {
			t.Errorf("got %v, want the resolver's own error", response.Errors)
		}
	})
}

func TestASubscriptionMayWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, opened := newStub(DefaultLimits), time.Now()
		s.polled = func(source *source, ticks chan<- string) {
			days := 1
			source.poll = func(context.Context) (outcome, time.Duration) {
				switch due := time.Duration(days) * 24 * time.Hour; {
				case days > 3:
					return noMore, 0
				case time.Since(opened) < due:
					return notYet, due - time.Since(opened)
				}
				days++
				ticks <- "tick"
				return ready, 0
			}
		}
		next := start(t, s, "subscription {ticks{name}}")

		for range 3 {
			wantData(t, next(), `{"ticks":"Ann"}`)
		}
		if last := next(); last != nil {
			t.Errorf("got %+v after the stream's end", last)
		}
	})
}

// A client that saw the event after a cut one would never ask for it again.
func TestACutEventEndsTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, ticks := newStub(DefaultLimits), make(chan string, 3)
		s.open = func(context.Context) (<-chan string, error) { return ticks, nil }
		next := start(t, s, "subscription {ticks{name}}")
		ticks <- "first"
		ticks <- "second"
		ticks <- "third"

		wantData(t, next(), `{"ticks":"Ann"}`)
		s.name = stuck
		wantTimeout(t, next())
		s.name = func(context.Context) (string, error) { return "Ann", nil }

		if after := next(); after != nil {
			t.Errorf("got %s after the cut event, want the end", after.Data)
		}
	})
}

func TestOpeningASubscriptionIsCutInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStub(DefaultLimits)
		s.open = func(ctx context.Context) (<-chan string, error) {
			_, err := stuck(ctx)
			return nil, err
		}

		next := start(t, s, "subscription {ticks{name}}")

		wantTimeout(t, next())
		if after := next(); after != nil {
			t.Errorf("got %+v, want the end", after)
		}
	})
}
