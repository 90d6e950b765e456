package eventlog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/internal/pgtest"
	"corridor/internal/postgres"
)

// What delivery costs those who write: 64 of them, each with the statements of a change
// (client key, lock, view, counters, line, read position, archive) and a commit that waits a millisecond
// for its disk, in turns with the log and its followers and without. The figure to keep above 0.6 is
// on/off; both are measured in the same run, so that other work on the machine falls on both.
func BenchmarkWhatDeliveryCosts(b *testing.B) {
	const writers, conversations, followers, turn = 64, 256, 32, time.Second
	server := pgtest.NewServer(b, map[string]string{"commit_delay": "1000", "commit_siblings": "0", "autovacuum": "on", "autovacuum_naptime": "2s"})
	db, events := server.Open(), server.Open()
	db.SetMaxOpenConns(writers)
	db.SetMaxIdleConns(writers)
	db.MustExec(`CREATE TABLE rooms (id int PRIMARY KEY, last int NOT NULL DEFAULT 0, stream bigint)`)
	db.MustExec(`CREATE TABLE lines (room int, seq int, body text, PRIMARY KEY (room, seq))`)
	db.MustExec(`CREATE TABLE keys (id uuid PRIMARY KEY, result text)`)
	db.MustExec(`CREATE TABLE members (room int, person int, read int NOT NULL DEFAULT 0, archived timestamptz, PRIMARY KEY (room, person)) WITH (fillfactor = 70)`)
	db.MustExec(`INSERT INTO rooms SELECT generate_series(1, $1)`, conversations)
	db.MustExec(`INSERT INTO members SELECT room, person FROM generate_series(1, $1) AS room, generate_series(1, 5) AS person`, conversations)
	l := New(events, ByPostgres(events, server.URL), testSecret, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	readers := make([]uuid.UUID, followers)
	for i := range readers {
		readers[i] = uuid.New()
	}
	streams := make([]int64, conversations)
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	must(postgres.InTx(ctx, db, func(tx *sqlx.Tx) (err error) {
		if streams, err = NewStreams(ctx, tx, conversations); err != nil {
			return err
		}
		for i, stream := range streams { // each has four readers
			var opens []uuid.UUID
			for k := range 4 {
				opens = append(opens, readers[(i+k*7)%followers])
			}
			if _, err := Append(ctx, tx, Event{Stream: stream, Kind: "opened", Opens: opens}); err != nil {
				return err
			}
		}
		return nil
	}))
	var heard atomic.Int64
	for _, reader := range readers {
		bell := make(chan struct{}, 1)
		follower, err := l.Follow(ctx, reader, "", func() { ring(bell) })
		must(err)
		running.Go(func() {
			e := &ear{Follower: follower, bell: bell}
			defer e.Close()
			for {
				delivery, err := e.Next(ctx)
				if err != nil {
					return
				}
				if delivery.Event != nil {
					heard.Add(1)
				}
			}
		})
	}
	writes := func(delivered bool) int64 {
		var written atomic.Int64
		var all sync.WaitGroup
		until := time.Now().Add(turn)
		for i := range writers {
			all.Go(func() {
				for n := i; time.Now().Before(until); n += writers {
					room := n % conversations
					var at Event
					err := postgres.InTx(ctx, db, func(tx *sqlx.Tx) (err error) {
						var seq, n int
						key := uuid.New()
						for _, statement := range []struct {
							query     string
							arguments []any
							into      *int
						}{
							{`INSERT INTO keys VALUES ($1) ON CONFLICT DO NOTHING`, []any{key}, nil},
							{`SELECT last FROM rooms WHERE id = $1 FOR NO KEY UPDATE`, []any{room + 1}, &n},
							{`SELECT count(*) FROM rooms JOIN members ON room = id WHERE id = $1`, []any{room + 1}, &n},
							{`UPDATE rooms SET last = last + 1 WHERE id = $1 RETURNING last`, []any{room + 1}, &seq},
						} {
							if statement.into == nil {
								_, err = tx.ExecContext(ctx, statement.query, statement.arguments...)
							} else {
								err = tx.GetContext(ctx, statement.into, statement.query, statement.arguments...)
							}
							if err != nil {
								return err
							}
						}
						for query, arguments := range map[string][]any{
							`INSERT INTO lines VALUES ($1, $2, $3)`:                                                      {room + 1, seq, "The scan is in."},
							`UPDATE members SET read = $2 WHERE room = $1 AND person = 1`:                                {room + 1, seq},
							`UPDATE members SET archived = NULL WHERE room = $1 AND archived IS NOT NULL AND person > 1`: {room + 1},
							`UPDATE keys SET result = $2 WHERE id = $1`:                                                  {key, "done"},
						} {
							if _, err := tx.ExecContext(ctx, query, arguments...); err != nil {
								return err
							}
						}
						if !delivered {
							return nil
						}
						at, err = Append(ctx, tx, Event{Stream: streams[room], Kind: "said"})
						return err
					})
					if err != nil {
						b.Error(err)
						return
					}
					if delivered {
						l.Hint([]Event{at})
					}
					written.Add(1)
				}
			})
		}
		all.Wait()
		return written.Load()
	}
	writes(false) // everything is warm
	writes(true)
	var on, off int64
	b.ResetTimer()
	for b.Loop() {
		off += writes(false)
		on += writes(true)
	}
	b.ReportMetric(float64(on)/float64(off), "on/off")
	b.ReportMetric(float64(off)/turn.Seconds()/float64(b.N), "off/s")
	b.ReportMetric(float64(on)/turn.Seconds()/float64(b.N), "on/s")
	b.ReportMetric(float64(heard.Load())/float64(on), "deliveries/write")
	b.ReportMetric(0, "ns/op")
}
