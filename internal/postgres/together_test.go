package postgres

import (
	"context"
	"runtime"
	"sync"
	"testing"
)

// What is on its way when somebody comes may have been answered before what they did.
func TestAnAnswerIsOfAQuestionThatWasAskedLater(t *testing.T) {
	t.Parallel()
	asked, answered := make(chan bool), make(chan bool)
	times := 0
	shared := together[int]{ask: func(context.Context) (int, error) {
		times++
		asked <- true
		<-answered
		return times, nil
	}}
	var all sync.WaitGroup
	get := func(want int) {
		if got, err := shared.get(t.Context()); got != want || err != nil {
			t.Errorf("got answer %d, %v, want %d", got, err, want)
		}
	}
	hasComer := func() bool {
		shared.mu.Lock()
		defer shared.mu.Unlock()
		return shared.next != nil
	}
	all.Go(func() { get(1) })
	<-asked

	all.Go(func() { get(2) })
	for !hasComer() {
		runtime.Gosched()
	}
	answered <- true

	<-asked
	answered <- true
	all.Wait()
}
