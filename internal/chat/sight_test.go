package chat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// However many ask at once, few statements run, and none that began before a question answers it.
func TestQuestionsOfManyComeIntoFewStatements(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan []int, 100), make(chan struct{})
	g := &gathering[int, string]{fetch: func(_ context.Context, keys []int) (map[int]string, error) {
		begun <- keys
		<-finish
		found := map[int]string{}
		for _, key := range keys {
			if key%2 == 0 {
				found[key] = fmt.Sprint("answer ", key)
			}
		}
		return found, nil
	}}
	for range gatherAtOnce {
		g.ask(-2)
		<-begun
	}
	var all sync.WaitGroup
	for i := range 100 {
		asked := g.ask(i / 2)
		all.Go(func() {
			found, err := asked.answer(t.Context(), i/2)
			switch {
			case err != nil:
				t.Error(err)
			case i/2%2 == 1 && found != nil:
				t.Errorf("there is something of %d: %s", i/2, *found)
			case i/2%2 == 0 && (found == nil || *found != fmt.Sprint("answer ", i/2)):
				t.Errorf("the answer to %d is %v", i/2, found)
			}
		})
	}

	close(finish)
	all.Wait()

	if keys := <-begun; len(keys) != 50 {
		t.Errorf("%d keys are read together, want 50, each once", len(keys))
	}
	if len(begun) != 0 {
		t.Errorf("there were %d statements more", len(begun))
	}
	for idle := false; !idle; { // and nobody stays behind
		g.mu.Lock()
		idle = g.running == 0
		g.mu.Unlock()
	}
}

func TestAQuestionMayFailOrBeGivenUp(t *testing.T) {
	t.Parallel()
	fault := errors.New("the database is away")
	g := &gathering[int, string]{fetch: func(context.Context, []int) (map[int]string, error) { return nil, fault }}
	if _, err := g.ask(1).answer(t.Context(), 1); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	stuck := make(chan struct{})
	defer close(stuck)
	g.fetch = func(context.Context, []int) (map[int]string, error) { <-stuck; return nil, nil }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.ask(1).answer(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var none *batch[int, string]
	if found, err := none.answer(t.Context(), 1); found != nil || err != nil {
		t.Errorf("what was not asked for is %v, %v", found, err)
	}
}

// What was just written is known for a moment, and so much of it.
func TestFreshLinesAreForgotten(t *testing.T) {
	t.Parallel()
	var f freshLines
	ids := make([]MessageID, maxFresh+1)
	for i := range ids {
		ids[i] = MessageID{newID()}
		f.put([]addedLine{{Message: Message{ID: ids[i]}}})
	}
	if _, ok := f.get(ids[0]); ok || len(f.at) != maxFresh {
		t.Errorf("%d lines are kept", len(f.at))
	}
	newest := ids[maxFresh]
	if line, ok := f.get(newest); !ok || line.ID != newest {
		t.Error("the newest line is not known")
	}
	f.lines[f.at[newest]].written = time.Now().Add(-staysFresh - 1)
	if _, ok := f.get(newest); ok {
		t.Error("an old line is taken for a new one")
	}
}
