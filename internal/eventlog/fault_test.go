package eventlog

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/internal/postgres"
)

func TestALostHintOnlyCostsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.running()
	mine, group := w.private(ann), w.stream()
	stream := w.follows(l, ann, "")

	w.says(mine, "a")
	w.opens(group, "opened", ann)
	w.says(group, "b")

	check(t, "heard", sorted(stream.awaits(3)), "a b opened")
}

// A crowd of events may come when Postgres believes the table to be empty, as it is most of the time,
// and has a plan for that.
func TestACrowdOfEventsIsNumberedByAPlanForNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	l.db.SetMaxOpenConns(1)
	stream := w.private(ann)
	for range 10 {
		w.numbers(l)
	}
	w.exec(`INSERT INTO events (stream, seq, kind) SELECT $1, seq, 'said' FROM generate_series(1, 100000) AS seq`, stream)
	w.exec(`INSERT INTO unnumbered (stream, seq) SELECT stream, seq FROM events`)

	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if n, err := l.number(ctx); n != numberAtOnce || err != nil {
			t.Fatalf("it numbered %d, %v", n, err)
		}
	}
}

func TestAHintWakesAnotherProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, other := w.still(), w.still()
	w.listens(other)

	// A hint may be lost; one of several is not.
	w.eventually("somebody rings for two events", func() bool {
		w.must(one.notify(t.Context(), map[int64]int64{5: 1, 6: 2}))
		select {
		case <-other.news:
			return true
		case <-time.After(time.Second):
			return false
		}
	})
	w.rings("for what is to be numbered", other.work)
	other.mu.Lock()
	other.seen[5], other.seen[6] = 1, 2
	other.mu.Unlock()
	w.must(one.notify(t.Context(), map[int64]int64{5: 1, 6: 2}))
	w.must(one.notify(t.Context(), map[int64]int64{5: 2}))
	w.rings("for one that is new", other.news)
	many := map[int64]int64{}
	for stream := range int64(5000) {
		many[stream] = 1
	}
	w.must(one.notify(t.Context(), many))
	w.rings("for more than a hint can name", other.news)
}

// listens lets a process hear hints by Postgres and do nothing else, and waits until it does.
func (w *world) listens(l *Log) (stop func()) {
	w.t.Helper()
	stop = w.hearsHints(l)
	w.eventually("somebody listens", func() bool { return w.listener() != 0 })
	return stop
}

func (w *world) hearsHints(l *Log) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.listener(ctx)
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

// listener is the backend of who listens.
func (w *world) listener() (pid int) {
	w.t.Helper()
	const query = `
		SELECT COALESCE(max(pid), 0) FROM pg_stat_activity
		WHERE query LIKE 'LISTEN%' AND state = 'idle' AND datname = current_database()`
	w.must(w.db.Get(&pid, query))
	return pid
}

func (w *world) rings(what string, bell chan struct{}) {
	w.t.Helper()
	select {
	case <-bell:
	case <-time.After(patience):
		w.t.Fatalf("nobody rang %s", what)
	}
}

func TestALostConnectionOfTheListenerComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, other := w.still(), w.still()
	w.listens(other)
	for range 2 {
		lost := w.listener()

		w.exec(`SELECT pg_terminate_backend($1)`, lost)

		w.rings("when the connection was back", other.news)
		w.eventually("somebody listens again", func() bool { pid := w.listener(); return pid != 0 && pid != lost })
		w.must(one.notify(t.Context(), map[int64]int64{5: 1}))
		w.rings("for an event", other.news)
	}
}

func TestAFaultOfTheDatabaseLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	processes := []*Log{w.running(), w.running()}
	mine, group := w.private(ann), w.stream()
	follows := func(i int, after string) *ear { return w.follows(processes[i], ann, after) }
	steady, restless := follows(0, ""), follows(1, "")
	w.opens(group, "opened", ann)
	done := make(chan struct{})
	var writers sync.WaitGroup
	for writer, stream := range []int64{mine, group, mine, group} {
		process := processes[writer%2]
		writers.Go(func() {
			for n := range 60 {
				if writer == 0 && n%12 == 11 {
					const cut = `
						SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
						WHERE datname = current_database() AND pid <> pg_backend_pid()`
					if _, err := w.db.Exec(cut); err != nil {
						t.Error(err)
					}
				}
				for {
					var event Event
					err := postgres.InTx(t.Context(), process.db, func(tx *sqlx.Tx) (err error) {
						event, err = Append(t.Context(), tx, Event{Stream: stream, Kind: fmt.Sprint(writer, "-", n)})
						return err
					})
					if err == nil {
						process.Hint([]Event{event})
						break
					}
				}
			}
		})
	}
	go func() { writers.Wait(); close(done) }()

	heard := map[*ear][]Position{}
	hear := func(e *ear) (more bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		delivery, err := e.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.Fatal(err)
			}
			return false
		}
		e.cursor = delivery.Cursor
		if delivery.Reset {
			t.Fatal("the stream was reset")
		}
		if delivery.Event != nil {
			heard[e] = append(heard[e], Position{delivery.Event.Stream, delivery.Event.Seq})
		}
		return true
	}
	random := rand.New(rand.NewPCG(1, 2))
	for writing := true; writing; {
		select {
		case <-done:
			writing = false
		default:
		}
		hear(steady)
		if random.IntN(10) > 0 {
			hear(restless)
			continue
		}
		// It goes on elsewhere, as soon as somebody lets it.
		restless.Close()
		before := heard[restless]
		for {
			if again, err := w.begins(processes[random.IntN(2)], ann, restless.cursor); err == nil {
				restless = again
				break
			}
		}
		t.Cleanup(restless.Close)
		heard[restless] = before
	}
	var stored []Position
	w.must(w.db.Select(&stored, `SELECT stream, seq FROM events ORDER BY stream, seq`))
	for name, e := range map[string]*ear{"the steady one": steady, "the restless one": restless} {
		for len(heard[e]) < len(stored) && hear(e) {
		}
		for _, stream := range []int64{mine, group} {
			if got, want := ofStream(heard[e], stream), ofStream(stored, stream); !slices.Equal(got, want) {
				t.Errorf("%s heard %v of stream %d, want %v", name, got, stream, want)
			}
		}
	}
}

func ofStream(positions []Position, stream int64) (seqs []int64) {
	for _, at := range positions {
		if at.Stream == stream {
			seqs = append(seqs, at.Seq)
		}
	}
	return seqs
}

// A process that begins to read finds its followers where the feed is not any more.
func TestNobodyIsForgottenWhileAProcessStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	l.heartbeat = time.Hour
	mine := w.private(ann)
	stream := w.follows(l, ann, "")
	w.says(mine, "a")
	w.numbers(w.still())
	heard := make(chan string, 1)
	go hearsOne(stream, heard)
	w.eventually("the reader waits", func() bool {
		all := make([]byte, 1<<22)
		all = all[:runtime.Stack(all, true)]
		for goroutine := range bytes.SplitSeq(all, []byte("\n\n")) {
			if bytes.Contains(goroutine, []byte("hearsOne")) && bytes.Contains(goroutine, []byte("[select")) {
				return true
			}
		}
		return false
	})

	w.refreshes(l)

	select {
	case got := <-heard:
		check(t, "heard", got, "a")
	case <-time.After(patience):
		t.Error("the reader sleeps on")
	}
}

func hearsOne(e *ear, heard chan<- string) {
	delivery, err := e.Next(e.w.t.Context())
	if err == nil {
		heard <- delivery.Event.Kind
	}
}

func TestAProcessThatFellFarBehindRingsForWhatIsNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	mine, foreign := w.private(ann), w.stream()
	stream := w.follows(l, ann, "")
	w.refreshes(l)
	w.exec(`INSERT INTO events (stream, seq, kind) SELECT $1, n, 'foreign' FROM generate_series(1, $2) AS n`, foreign, readAtOnce)
	w.exec(`INSERT INTO feed (pos, stream, seq) SELECT n, $1, n FROM generate_series(1, $2) AS n`, foreign, readAtOnce)
	w.exec(`UPDATE feed_state SET head = $1`, readAtOnce)
	w.says(mine, "a")

	more, err := l.refresh(t.Context())
	w.must(err)
	check(t, "there is more to read", more, true)
	check(t, "heard meanwhile", stream.hears(), "")
	stream.isDeaf()
	w.refreshes(l)

	w.rings("for what is not numbered", stream.bell)
	check(t, "heard", stream.hears(), "a")
}

func TestNothingRunsOnWhenAProcessEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	l.heartbeat = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	label := uuid.NewString()
	// All goroutines that come of it inherit the label.
	pprof.Do(ctx, pprof.Labels("process", label), func(ctx context.Context) {
		go func() {
			defer close(done)
			_ = l.Run(ctx)
		}()
	})
	living := func() bool {
		var all bytes.Buffer
		w.must(pprof.Lookup("goroutine").WriteTo(&all, 1))
		return strings.Contains(all.String(), label)
	}
	w.eventually("it listens", func() bool { return w.listener() != 0 })
	check(t, "it lives", living(), true)
	defer w.resumes(l, ann, "").Close()
	// While nobody takes hints there come more than there is room for.
	l.mu.Lock()
	for range 4 {
		w.exec(`SELECT pg_notify($1, n || ':1') FROM generate_series(1, 100) AS n`, hintChannel)
	}
	w.eventually("there is no more room", func() bool {
		var all bytes.Buffer
		w.must(pprof.Lookup("goroutine").WriteTo(&all, 1))
		for goroutine := range strings.SplitSeq(all.String(), "\n\n") {
			if strings.Contains(goroutine, label) && strings.Contains(goroutine, "pq.(*ListenerConn).listenerConnLoop") &&
				!strings.Contains(goroutine, "recvMessage") {
				return true
			}
		}
		return false
	})

	cancel()
	l.mu.Unlock()

	<-done
	w.eventually("all of it has ended", func() bool { return !living() })
	w.eventually("nobody listens", func() bool { return w.listener() == 0 })
}

func TestAProcessEndsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// It takes connections and never says a word.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	defer silent.Close()
	address := url.URL{Scheme: "postgres", User: url.User("x"), Host: silent.Addr().String(), Path: "x", RawQuery: "sslmode=disable&connect_timeout=60"}
	l := w.still()
	l.carrier = ByPostgres(w.db, address.String())
	stop := w.runs(l)
	conn, err := silent.Accept()
	w.must(err)
	defer conn.Close()
	ended := make(chan struct{})

	go func() { stop(); close(ended) }()

	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("it does not end")
	}
}
