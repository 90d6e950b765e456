//go:build unix && !aix && !solaris

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"corridor/internal/pgtest"
	"corridor/internal/postgres"
)

// pair is a primary with a table, and a replica that is looked after.
type pair struct {
	t                *testing.T
	primary, standby *pgtest.Server
	db               *sqlx.DB
	replica          *postgres.Replica
}

func newPair(t *testing.T) *pair {
	t.Helper()
	// A standby that never waits for those who read it.
	p := &pair{t: t, primary: pgtest.NewServer(t, map[string]string{"max_standby_streaming_delay": "0"})}
	p.standby = p.primary.Standby()
	p.db = p.primary.Open()
	exec(t, p.db, `CREATE TABLE lines (n int)`)
	p.replica = p.opens(p.standby.URL)
	return p
}

// opens opens a replica and looks after it until the test ends.
func (p *pair) opens(url string) *postgres.Replica {
	p.t.Helper()
	replica, err := postgres.OpenReplica(p.t.Context(), p.db, url, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = replica.Run(ctx)
	}()
	p.t.Cleanup(func() { cancel(); <-done })
	return replica
}

// writes adds a line.
func (p *pair) writes() {
	p.t.Helper()
	exec(p.t, p.db, `INSERT INTO lines VALUES (1)`)
}

// reads is how many lines an operation sees, and where.
func (p *pair) reads() (lines int, where string) {
	p.t.Helper()
	err := p.replica.Read(p.t.Context(), new(postgres.Reading), func(db *sqlx.DB) error {
		where = p.whereIs(db)
		return db.GetContext(p.t.Context(), &lines, `SELECT count(*) FROM lines`)
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return lines, where
}

func (p *pair) whereIs(db *sqlx.DB) string {
	if db == p.db {
		return "primary"
	}
	return "replica"
}

// sees checks that an operation sees so many lines wherever it reads.
func (p *pair) sees(want int) (where string) {
	p.t.Helper()
	got, where := p.reads()
	if got != want {
		p.t.Errorf("the %s shows %d lines, want %d", where, got, want)
	}
	return where
}

// eventuallySees waits until operations read there, all of which see so many lines.
func (p *pair) eventuallySees(want int, there string) {
	p.t.Helper()
	for until := time.Now().Add(30 * time.Second); p.sees(want) != there; {
		if time.Now().After(until) {
			p.t.Fatalf("waited in vain for the %s", there)
		}
	}
}

// answers is how many reads got this answer.
func (p *pair) answers(answer string) int {
	p.t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(p.replica)
	families, err := registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, metric := range families[0].GetMetric() {
		if metric.GetLabel()[0].GetValue() == answer {
			return int(metric.GetCounter().GetValue())
		}
	}
	p.t.Fatalf("there is no answer %s", answer)
	return 0
}

func TestAReplicaThatKeepsUpIsRead(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for n := range 20 {
		p.writes()
		p.eventuallySees(n+1, "replica")
	}
}

func TestAReplicaThatLagsIsNotReadUntilItHasCaughtUp(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.eventuallySees(0, "replica")
	before := p.answers("behind") // while it was starting

	p.standby.Pause()
	p.writes()

	for range 5 {
		if where := p.sees(1); where != "primary" {
			t.Errorf("it was read from the %s", where)
		}
	}
	if n := p.answers("behind") - before; n != 5 {
		t.Errorf("it was behind %d times, want 5", n)
	}

	p.standby.Resume()

	p.eventuallySees(1, "replica")
}

func TestNothingIsWaitedForTwiceWhenTheReplicaHangsBehind(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.standby.Pause()
	p.writes()
	p.sees(1)

	began := time.Now()
	for range 20 {
		p.sees(1)
	}

	if took := time.Since(began); took > 20*25*time.Millisecond { // it is much less, but for a busy machine
		t.Errorf("20 reads took %s", took)
	}
}

func TestAReplicaThatIsKilledIsMissedByNobody(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.writes()
	p.eventuallySees(1, "replica")

	p.standby.Kill()

	if where := p.sees(1); where != "primary" {
		t.Errorf("it was read from the %s", where)
	}
	p.writes()
	p.sees(2)

	p.standby.Start()

	p.eventuallySees(2, "replica")
}

func TestAReplicaMayComeLater(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.writes()
	p.standby.Stop()
	p.replica = p.opens(p.standby.URL)
	if where := p.sees(1); where != "primary" {
		t.Errorf("it was read from the %s", where)
	}

	p.standby.Start()

	p.eventuallySees(1, "replica")
}

func TestAReplicaThatWasPromotedIsLeft(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.writes()
	p.eventuallySees(1, "replica")

	p.standby.Promote()

	p.eventuallySees(1, "primary")
	former := p.standby.Open()
	exec(t, former, `INSERT INTO lines VALUES (1), (2)`)
	for range 20 {
		p.writes()
	}
	if where := p.sees(21); where != "primary" {
		t.Errorf("it was read from the %s", where)
	}
	if n := p.answers("replica"); n == 0 {
		t.Error("it was never read")
	}
}

func TestAnotherDatabaseIsNoReplica(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	at, err := url.Parse(p.standby.URL)
	if err != nil {
		t.Fatal(err)
	}
	at.Path = "/postgres"
	for name, other := range map[string]string{"of another server": start(t, furnished(t)).URL(), "of the same server": at.String()} {
		if _, err := postgres.OpenReplica(t.Context(), p.db, other, slog.New(slog.DiscardHandler)); !errors.Is(err, postgres.ErrAnotherDatabase) {
			t.Errorf("another database %s: %v", name, err)
		}
	}
}

func TestThePrimaryIsNoReplicaOfItself(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.replica = p.opens(p.primary.URL)

	if where := p.sees(0); where != "primary" || p.answers("away") != 1 {
		t.Errorf("it was read from the %s", where)
	}
}

// What the standby must replay takes away what is being read there.
func TestWhatRecoveryInterruptsIsReadFromThePrimary(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.writes()
	p.eventuallySees(1, "replica")
	var codes, places []string
	reading := new(postgres.Reading)
	recovers := func() {
		sleeping := p.standby.Open()
		for number(t, sleeping, `SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'`) == 0 {
		}
		exec(t, p.db, `DELETE FROM lines`)
		exec(t, p.db, `VACUUM lines`)
	}

	err := p.replica.Read(t.Context(), reading, func(db *sqlx.DB) error {
		places = append(places, p.whereIs(db))
		err := postgres.InSnapshot(t.Context(), db, func(tx *sqlx.Tx) error {
			number(t, tx, `SELECT count(*) FROM lines`)
			if p.whereIs(db) == "primary" {
				return nil
			}
			var recovering sync.WaitGroup
			defer recovering.Wait()
			recovering.Go(recovers)
			_, err := tx.ExecContext(t.Context(), `SELECT pg_sleep(60)`)
			return err
		})
		code, _ := postgres.Code(err)
		codes = append(codes, code)
		return err
	})

	if got := strings.Join(places, ", "); err != nil || got != "replica, primary" || codes[0] != "40001" {
		t.Errorf("it was read from %s with %q, %v", got, codes, err)
	}
	_ = p.replica.Read(t.Context(), reading, func(db *sqlx.DB) error {
		if where := p.whereIs(db); where != "primary" {
			t.Errorf("the rest of it was read from the %s", where)
		}
		return nil
	})
	p.eventuallySees(0, "replica")
}

func TestWhoGoesAwayIsNoFaultOfTheReplica(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.eventuallySees(0, "replica")
	ctx, goesAway := context.WithCancel(t.Context())
	times := 0

	err := p.replica.Read(ctx, new(postgres.Reading), func(db *sqlx.DB) error {
		times++
		goesAway()
		_, err := db.ExecContext(ctx, `SELECT 1`)
		return err
	})

	if err == nil || times != 1 {
		t.Errorf("it was read %d times, %v", times, err)
	}
	if where := p.sees(0); where != "replica" || p.answers("failed") != 0 {
		t.Errorf("the next one was read from the %s", where)
	}
}

func TestAReplicaThatFallsSilentIsLeft(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	url, silenced := behindAWall(t, p.standby.URL)
	p.replica = p.opens(url)
	p.writes()
	p.eventuallySees(1, "replica")
	var where []string

	err := p.replica.Read(t.Context(), new(postgres.Reading), func(db *sqlx.DB) error {
		where = append(where, p.whereIs(db))
		silenced.Store(p.whereIs(db) == "replica")
		var n int
		return db.GetContext(t.Context(), &n, `SELECT count(*) FROM lines`)
	})

	if got := strings.Join(where, ", "); err != nil || got != "replica, primary" {
		t.Errorf("it was read from %s, %v", got, err)
	}
	p.eventuallySees(1, "replica")
}

// behindAWall is the server at a URL behind something that swallows what passes while it is silenced.
func behindAWall(t *testing.T, to string) (address string, silenced *atomic.Bool) {
	t.Helper()
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	query := at.Query()
	server := filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port"))
	dir := t.TempDir()
	query.Set("host", dir)
	at.RawQuery = query.Encode()
	wall, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL."+query.Get("port")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wall.Close() })
	silenced = new(atomic.Bool)
	go func() {
		for {
			client, err := wall.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("unix", server)
			if err != nil {
				client.Close()
				continue
			}
			go func() {
				defer client.Close()
				_, _ = io.Copy(client, behind)
			}()
			go func() {
				defer behind.Close()
				_, _ = io.Copy(hearing{behind, silenced}, client)
			}()
		}
	}()
	return at.String(), silenced
}

type hearing struct {
	io.Writer
	silenced *atomic.Bool
}

func (h hearing) Write(b []byte) (int, error) {
	if h.silenced.Load() {
		return len(b), nil
	}
	return h.Writer.Write(b)
}

// After a failover to a standby that had less, another one that had more is still there: it has come
// further than the new primary, on a way that nobody goes on.
func TestAReplicaWithAHistoryOfItsOwnIsNotRead(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	successor := p.primary.Standby()
	p.writes()
	p.eventuallySees(1, "replica")
	db := successor.Open()
	for until := time.Now().Add(30 * time.Second); number(t, db, `SELECT count(*) FROM lines`) != 1; {
		if time.Now().After(until) {
			t.Fatal("the second standby does not follow")
		}
	}
	successor.Stop()
	for range 100 {
		p.writes()
	}
	p.eventuallySees(101, "replica")

	p.primary.Stop()
	successor.Start()
	successor.Promote()
	p.db = successor.Open()
	p.replica = p.opens(p.standby.URL)

	if where := p.sees(1); where != "primary" {
		t.Errorf("it was read from the %s", where)
	}
}

func TestAReplicaNeedsNoSuperuser(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	exec(t, p.db, `CREATE ROLE anybody LOGIN`)
	exec(t, p.db, `GRANT SELECT ON lines TO anybody`)
	p.writes()
	p.eventuallySees(1, "replica")
	byAnybody := func(written string) string {
		at, err := url.Parse(written)
		if err != nil {
			t.Fatal(err)
		}
		at.User = url.User("anybody")
		return at.String()
	}
	db, err := postgres.Open(t.Context(), byAnybody(p.primary.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p.db = db
	p.replica = p.opens(byAnybody(p.standby.URL))

	p.eventuallySees(1, "replica")
}

// What it costs to know that the replica is far enough.
func BenchmarkReading(b *testing.B) {
	primary := pgtest.NewServer(b, nil)
	standby := primary.Standby()
	db := primary.Open()
	replica, err := postgres.OpenReplica(b.Context(), db, standby.URL, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	do := func(db *sqlx.DB) error {
		var n int
		return db.GetContext(b.Context(), &n, `SELECT 1`)
	}
	for _, readers := range []int{1, 8, 64} {
		for where, read := range map[string]func() error{
			"primary": func() error { return do(db) },
			"replica": func() error { return replica.Read(b.Context(), new(postgres.Reading), do) },
		} {
			b.Run(fmt.Sprintf("%s/%d", where, readers), func(b *testing.B) {
				var all sync.WaitGroup
				left := atomic.Int64{}
				left.Store(int64(b.N))
				for range readers {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							if err := read(); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
			})
		}
	}
}
