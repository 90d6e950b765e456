package courtesy

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// All tests run in bubbles, which have a clock of their own: it stands still while anything runs and jumps on when all wait. So Sleep is how long
// something lasts by that clock, nobody waits for it, and what is asserted of times is exact.

// TestAKeyThatAsksForMuchAtOnceHasNoMoreTurnsThanOthers has three large queries of one key, and then one of another.
func TestAKeyThatAsksForMuchAtOnceHasNoMoreTurnsThanOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCourtesy(1)
		var order []string
		for _, key := range []string{"busy", "busy", "busy", "other"} {
			go notes(t, c, key, &order)
			synctest.Wait()
		}
		hadTurns(t, c, &order, "busy", "other", "busy", "busy")
	})
}

// TestADownloadHasEveryOtherTurn has many keys ask beside a download, and another download beside it.
func TestADownloadHasEveryOtherTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCourtesy(1)
		var order []string
		downloads := func(name string) {
			ctx, work := c.Begin(t.Context())
			leave, ok := work.Download(ctx, [16]byte([]byte(name + "0123456789abcdef")[:16]), time.Minute)
			if !ok {
				t.Error("it may not begin")
				return
			}
			defer leave()
			for range 3 {
				done, err := work.Piece(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, name)
				time.Sleep(time.Millisecond)
				done()
			}
		}
		go downloads("first")
		synctest.Wait()
		go downloads("second")
		for _, key := range []string{"a", "b", "c", "d"} {
			synctest.Wait()
			go notes(t, c, key, &order)
		}
		hadTurns(t, c, &order, "first", "a", "second", "b", "first", "c", "second", "d", "first", "second")
	})
}

// TestADownloadThatIsReadSlowlyHoldsUpNobodyElse has the one of a key wait for its reader, and others come.
func TestADownloadThatIsReadSlowlyHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCourtesy(1)
		begins := func(asker byte) (done func(), ok bool) {
			ctx, work := c.Begin(t.Context())
			done, ok = work.Download(ctx, [16]byte{asker}, time.Second)
			if ok {
				piece, err := work.Piece(ctx)
				if err != nil {
					t.Fatal(err)
				}
				piece()
			}
			return done, ok
		}
		var done []func()
		for asker := range byte(downloadsAtOnce) {
			leave, ok := begins(asker)
			if !ok {
				t.Fatalf("download %d may not begin", asker)
			}
			done = append(done, leave)
			if _, ok := begins(asker); ok {
				t.Errorf("asker %d has two downloads", asker)
			}
		}
		if _, ok := begins(downloadsAtOnce); ok {
			t.Errorf("%d downloads have begun", downloadsAtOnce+1)
		}
		queries(t, c, "a query")()
		for _, leave := range done {
			leave()
		}
		synctest.Wait()
		isAtRest(t, c)
	})
}

// TestRestsAreLongerTheMoreWantATurn tells how long after a turn of ten milliseconds there is the next.
func TestRestsAreLongerTheMoreWantATurn(t *testing.T) {
	t.Parallel()
	const took = 10 * time.Millisecond
	for _, c := range []struct {
		keys int
		took time.Duration
		want time.Duration
	}{
		{1, took, 4 * took},
		{5, took, 10 * took},
		{12, took, 24 * took},
		{50, took, 64 * took},
		{1, time.Second, longestRestForEach},
		{3, time.Second, 3 * longestRestForEach},
		{50, time.Second, longestRest},
	} {
		synctest.Test(t, func(t *testing.T) {
			courtesy := newCourtesy(1)
			done := queries(t, courtesy, "key 0")
			begins := make(chan time.Time, c.keys)
			for i := range max(1, c.keys-1) {
				go func() {
					done := queries(t, courtesy, fmt.Sprint("key ", (i+1)%c.keys))
					begins <- time.Now()
					done()
				}()
			}
			synctest.Wait()
			time.Sleep(c.took)
			ended := time.Now()
			done()
			if rest := (<-begins).Sub(ended); rest != c.want {
				t.Errorf("with %d keys the rest behind %v is %v, not %v", c.keys, c.took, rest, c.want)
			}
			synctest.Wait()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, work := newCourtesy(1).Begin(t.Context())
		leave, ok := work.Download(ctx, [16]byte{1}, time.Second)
		if !ok {
			t.Fatal("it may not begin")
		}
		defer leave()
		done, err := work.Piece(ctx)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(took)
		ended := time.Now()
		done()
		if _, err = work.Piece(ctx); err != nil {
			t.Fatal(err)
		}
		if rest := time.Since(ended); rest != 4*took {
			t.Errorf("behind a piece of a download the rest is %v, not %v", rest, 4*took)
		}
	})
}

// TestWhoGetsNoTurnLeavesNothingBehind has a query wait in vain, and two that nobody waits for any more.
func TestWhoGetsNoTurnLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCourtesy(1)
		done := queries(t, c, "first")

		begun := time.Now()
		ctx, work := c.Begin(t.Context())
		if _, ok := work.Query(ctx, [16]byte{2}, 5*time.Second); ok {
			t.Error("two have a turn at once")
		}
		if waited := time.Since(begun); waited != 5*time.Second {
			t.Errorf("it waited %v", waited)
		}
		gone, leaves := context.WithTimeout(t.Context(), time.Second)
		defer leaves()
		ctx, work = c.Begin(gone)
		if _, ok := work.Query(ctx, [16]byte{2}, time.Minute); ok {
			t.Error("who is gone has a turn")
		}
		if _, err := work.Piece(ctx); err == nil {
			t.Error("a piece of a download has a turn that nobody waits for")
		}
		done()
		time.Sleep(time.Minute)
		synctest.Wait()
		isAtRest(t, c)
	})
}

// TestLargeWorkGivesWayToPeople says how long, and that it goes on for all that.
func TestLargeWorkGivesWayToPeople(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCourtesy(1)
		ctx, work := c.Begin(t.Context())
		done, err := work.Piece(ctx)
		if err != nil {
			t.Fatal(err)
		}
		takes := func(what func(context.Context), ctx context.Context) time.Duration {
			begun := time.Now()
			what(ctx)
			return time.Since(begun)
		}
		time.Sleep(time.Second)

		if took := takes(GiveWay, ctx); took > 2*pause {
			t.Errorf("where nobody is, it waits %v", took)
		}
		if took := takes(GiveWay, t.Context()); took != 0 {
			t.Errorf("what is for people waits %v", took)
		}
		served := c.Serves()
		time.AfterFunc(8*time.Millisecond, served)
		if took := takes(GiveWay, ctx); took < 8*time.Millisecond+quietTime || took > 8*time.Millisecond+quietTime+2*pause {
			t.Errorf("somebody is served for 8 ms, and it waits %v", took)
		}
		defer c.Serves()()
		for took := time.Duration(0); took < mostWays; {
			way := takes(Pause, ctx)
			if took += way; way > longestWay+2*pause {
				t.Fatalf("it waits %v for people who are always there", way)
			}
			time.Sleep(sliceTime) // it works
		}
		if took := takes(Pause, ctx); took > 2*pause {
			t.Errorf("it has waited enough in this turn, and waits another %v", took)
		}
		done()
		if done, err = work.Piece(ctx); err != nil {
			t.Fatal(err)
		}
		if took := takes(GiveWay, ctx); took < longestWay {
			t.Errorf("in its next turn it gives way for %v", took)
		}
		done()
	})
}

// queries waits for the turn of a query.
func queries(t *testing.T, c *Courtesy, key string) (done func()) {
	t.Helper()
	ctx, work := c.Begin(t.Context())
	var id [16]byte
	copy(id[:], key)
	done, ok := work.Query(ctx, id, time.Hour)
	if !ok {
		t.Errorf("%s has no turn", key)
		return func() {}
	}
	return done
}

// notes has a query of a key take a turn of a millisecond, and notes that it has it.
func notes(t *testing.T, c *Courtesy, key string, order *[]string) {
	t.Helper()
	done := queries(t, c, key)
	*order = append(*order, key)
	time.Sleep(time.Millisecond)
	done()
}

// hadTurns says in which order they had turns by the time that all had them.
func hadTurns(t *testing.T, c *Courtesy, order *[]string, want ...string) {
	t.Helper()
	time.Sleep(time.Minute)
	synctest.Wait()
	if !slices.Equal(*order, want) {
		t.Errorf("they had their turns in the order %v, not %v", *order, want)
	}
	isAtRest(t, c)
}

// isAtRest says that nobody has anything, and that all could.
func isAtRest(t *testing.T, c *Courtesy) {
	t.Helper()
	if len(c.turns)+len(c.queries)+len(c.pieces)+len(c.downloads)+len(c.lines) > 0 {
		t.Errorf("%d turns, %d places of queries, %d of pieces, %d of downloads and %d lines are left", len(c.turns), len(c.queries), len(c.pieces), len(c.downloads), len(c.lines))
	}
}
