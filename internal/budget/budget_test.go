package budget

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"corridor/internal/pgtest"
)

// clock stands still until a test lets time pass.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, time.November, 25, 8, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()) }

func (c *clock) passes(some time.Duration) { c.at.Add(int64(some)) }

// startsFirst is a subject whose minutes begin with those of the clock.
var startsFirst = uuid.MustParse("018f0000-0000-7000-8000-000000000000")

func spends(t *testing.T, a Account, points, remaining int) {
	t.Helper()
	if got, ok := a.Spend(points); !ok || got.Remaining != remaining {
		t.Errorf("%d points leave %d (%v), want %d", points, got.Remaining, ok, remaining)
	}
}

func cannotSpend(t *testing.T, a Account, points int) {
	t.Helper()
	if got, ok := a.Spend(points); ok {
		t.Errorf("%d points are spent, and %d left", points, got.Remaining)
	}
}

func settles(t *testing.T, instances ...*Budgets) {
	t.Helper()
	for _, b := range instances {
		if err := b.settle(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMinuteHasItsPoints(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := New(Options{Person: 10, Key: 3, Now: clock.now})
	ann, bob, key := b.Person(startsFirst), b.Person(uuid.New()), b.Key(uuid.New())

	spends(t, ann, 8, 2)
	cannotSpend(t, ann, 3)
	spends(t, ann, 2, 0)
	cannotSpend(t, ann, 1)
	spends(t, bob, 10, 0)
	spends(t, key, 2, 1)
	key.Take(5)
	cannotSpend(t, key, 1)
	clock.passes(59*time.Second + 999*time.Millisecond)
	cannotSpend(t, ann, 1)
	clock.passes(time.Millisecond)
	spends(t, ann, 10, 0)

	want := `
# HELP corridor_budget_refusals_total Operations that were refused because their person or key had spent what they have a minute.
# TYPE corridor_budget_refusals_total counter
corridor_budget_refusals_total{kind="key"} 1
corridor_budget_refusals_total{kind="person"} 3
`
	if err := testutil.CollectAndCompare(b, strings.NewReader(want), "corridor_budget_refusals_total"); err != nil {
		t.Error(err)
	}
}

func TestPointsComeBackWithinTheirMinute(t *testing.T) {
	t.Parallel()
	clock := newClock()
	key := New(Options{Key: 10, Now: clock.now}).Key(startsFirst)
	spent, _ := key.Spend(8)

	if now := key.Return(7, spent); now.Remaining != 9 {
		t.Errorf("%d are left, not 9", now.Remaining)
	}
	spends(t, key, 9, 0)
	clock.passes(time.Minute)
	spends(t, key, 4, 6)
	if now := key.Return(7, spent); now.Remaining != 6 {
		t.Errorf("%d are left of the next minute, not 6", now.Remaining)
	}
}

func TestEverybodysMinuteBeginsAtASecondOfTheirOwn(t *testing.T) {
	t.Parallel()
	clock := newClock()
	clock.passes(1234567 * time.Millisecond)
	b := New(Options{Person: 10, Now: clock.now})
	begins := map[int]bool{}
	for range 1000 {
		standing, _ := b.Person(uuid.New()).Spend(1)
		left := standing.ResetAt.Sub(clock.now())
		if left <= 0 || left > time.Minute || standing.Wait != int((left+time.Second-1)/time.Second) || standing.ResetAt.Nanosecond() != 0 {
			t.Fatalf("it is reset in %s, at %s, to wait %d seconds", left, standing.ResetAt, standing.Wait)
		}
		begins[standing.ResetAt.Second()] = true
	}
	if len(begins) < 50 {
		t.Errorf("the minutes of 1000 begin at %d seconds", len(begins))
	}
}

func TestHeadersSayHowAnAccountStands(t *testing.T) {
	t.Parallel()
	clock := newClock()
	clock.passes(20 * time.Second)
	b := New(Options{Key: 100, Now: clock.now})
	of, without := http.Header{}, http.Header{}

	standing, _ := b.Key(startsFirst).Spend(40)
	standing.Show(of)
	free, _ := b.Person(startsFirst).Spend(40)
	free.Show(without)

	if got := of.Get("RateLimit-Policy") + " " + of.Get("RateLimit"); got != `"key";q=100;w=60 "key";r=60;t=40` {
		t.Errorf("the headers are %s", got)
	}
	if len(without) > 0 || free != (Standing{}) {
		t.Errorf("without a limit there is %v, %v", without, free)
	}
}

func TestInstancesTellEachOther(t *testing.T) {
	t.Parallel()
	database, clock := pgtest.New(t), newClock()
	instance := func() *Budgets { return New(Options{DB: database.Open(), Person: 100, Now: clock.now}) }
	one, two := instance(), instance()
	ann, bob := startsFirst, uuid.New()
	spends(t, one.Person(ann), 30, 70)
	spends(t, two.Person(ann), 50, 50)
	spends(t, two.Person(bob), 1, 99)

	settles(t, one, two)

	spends(t, two.Person(ann), 1, 19)
	spends(t, one.Person(ann), 1, 69) // it told first, and has not heard
	settles(t, one, two, one)
	cannotSpend(t, two.Person(ann), 19)
	spends(t, two.Person(ann), 18, 0)
	spends(t, two.Person(bob), 1, 98)

	// One lets through what it does not know of, and learns it then.
	spends(t, one.Person(ann), 18, 1)
	settles(t, two, one)
	cannotSpend(t, one.Person(ann), 0)

	clock.passes(time.Minute)
	spends(t, one.Person(ann), 1, 99)
	settles(t, one)
	if n := len(one.tallies); n != 1 {
		t.Errorf("%d accounts are kept", n)
	}
	clock.passes(keptMinutes * time.Minute)
	spends(t, one.Person(ann), 1, 99)
	settles(t, one, two)
	if n := len(two.tallies); n != 0 {
		t.Errorf("%d accounts that asked nothing any more are kept", n)
	}
	var minutes int
	if err := one.db.Get(&minutes, `SELECT count(*) FROM budgets`); err != nil || minutes > 2 {
		t.Errorf("%d minutes are written down (%v)", minutes, err)
	}
}

func TestAnInstanceThatIsAloneCountsAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	database, clock := pgtest.New(t), newClock()
	var said bytes.Buffer
	db := database.Open()
	b := New(Options{DB: db, Person: 10, Now: clock.now, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if _, err := db.Exec(`ALTER TABLE budgets RENAME TO elsewhere`); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	ann := b.Person(startsFirst)
	spends(t, ann, 4, 6)
	pgtest.Eventually(t, "it tries again", func() bool { return testutil.ToFloat64(b.faults) >= 2 })
	spends(t, ann, 1, 5)

	if _, err := db.Exec(`ALTER TABLE elsewhere RENAME TO budgets`); err != nil {
		t.Fatal(err)
	}

	pgtest.Eventually(t, "all points are written down", func() bool {
		var written int
		if err := db.Get(&written, `SELECT coalesce(sum(spent), 0) FROM budgets`); err != nil {
			t.Fatal(err)
		}
		return written == 5
	})
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if n := strings.Count(said.String(), "\n"); n != 1 || !strings.Contains(said.String(), "SQLSTATE 42P01") {
		t.Errorf("it said, in %d lines: %s", n, said.String())
	}
	cannotSpend(t, ann, 6)
	spends(t, ann, 5, 0)
}

func TestManyAtOnceSpendWhatThereIs(t *testing.T) {
	t.Parallel()
	database, clock := pgtest.New(t), newClock()
	b := New(Options{DB: database.Open(), Person: 1000, Now: clock.now})
	ann := b.Person(startsFirst)
	var spent atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if _, ok := ann.Spend(1); ok {
					spent.Add(1)
				}
			}
		})
	}
	all.Go(func() {
		for range 20 {
			settles(t, b)
		}
	})
	all.Wait()
	settles(t, b)

	if n := spent.Load(); n != 1000 {
		t.Errorf("%d points were spent of 1000", n)
	}
	var written int
	if err := b.db.Get(&written, `SELECT sum(spent) FROM budgets`); err != nil || written != 1000 {
		t.Errorf("%d points are written down (%v)", written, err)
	}
}

// BenchmarkSpend is what an operation pays for being counted: twice, with its headers.
func BenchmarkSpend(b *testing.B) {
	ann := New(Options{Person: 1 << 40}).Person(startsFirst)
	header := http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		for range 2 {
			standing, _ := ann.Spend(1)
			standing.Show(header)
		}
	}
}

// BenchmarkSettle tells the others of a thousand people who have just asked something.
func BenchmarkSettle(b *testing.B) {
	budgets := New(Options{DB: pgtest.New(b).Open(), Person: 1 << 40})
	people := make([]Account, 1000)
	for i := range people {
		people[i] = budgets.Person(uuid.New())
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, person := range people {
			person.Spend(1)
		}
		if err := budgets.settle(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
