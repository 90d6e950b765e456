// Package budget counts what people and partner keys ask of the servers, in points, and says who has had enough
// for a minute.
//
// To ask costs no statement: each instance counts in memory and lets the others know twice a second what was spent
// with it, for all accounts by one statement. So one instance never lets through more than the limit, and all of them together
// at most what the others let through in that half second besides. Without the database each goes on by itself.
//
// A minute has a fixed beginning, which differs from account to account: those who wait for their next one do not all come back at
// the same moment. It is told by the clock of the instance; where clocks differ, two minutes overlap by as much.
package budget

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// settleEvery is how often instances tell each other what was spent.
	settleEvery = 500 * time.Millisecond
	// settleTime bounds one time.
	settleTime = 5 * time.Second
	// keptMinutes is how long a minute is kept, for instances whose clocks are slow.
	keptMinutes = 3
	// perMinute is how many seconds a minute has.
	perMinute = 60
)

// Options are how much there is to spend, and where it is written down.
type Options struct {
	// DB is where instances meet. Only Run needs it.
	DB *sqlx.DB
	// Person and Key are how many points a person and a partner key have a minute; with 0 they may spend what they like.
	Person, Key int
	// Logger hears when the database does not answer. Only Run needs it.
	Logger *slog.Logger
	// Now tells the time, time.Now by default.
	Now func() time.Time
}

// Budgets are those of all who ask something of this instance. It is safe for concurrent use.
type Budgets struct {
	db          *sqlx.DB
	person, key kind
	logger      *slog.Logger
	now         func() time.Time
	refusals    *prometheus.CounterVec
	faults      prometheus.Counter

	mu sync.Mutex
	// tallies are those of accounts that spent something in their present minute, and a few older ones until
	// they are swept out.
	tallies map[uuid.UUID]*tally
}

// kind is what accounts of one kind have in common.
type kind struct {
	name   string
	limit  int
	policy string
}

func newKind(name string, limit int) kind {
	return kind{name, limit, `"` + name + `";q=` + strconv.Itoa(limit) + `;w=` + strconv.Itoa(perMinute)}
}

// A tally is what an account spent in a minute.
type tally struct {
	minute int64
	// spent is as far as this instance knows, and own the part of it that the others do not know of yet.
	spent, own int
}

// New returns budgets of which nothing is spent.
func New(options Options) *Budgets {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Budgets{
		db: options.DB, person: newKind("person", options.Person), key: newKind("key", options.Key), logger: options.Logger, now: options.Now,
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "corridor_budget_refusals_total", Help: "Operations that were refused because their person or key had spent what they have a minute.",
		}, []string{"kind"}),
		faults: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "corridor_budget_faults_total", Help: "Times that instances could not tell each other what was spent, because the database did not answer.",
		}),
		tallies: map[uuid.UUID]*tally{},
	}
}

// Describe implements prometheus.Collector.
func (b *Budgets) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(b, to) }

// Collect implements prometheus.Collector. Nothing in it names anybody.
func (b *Budgets) Collect(to chan<- prometheus.Metric) {
	for _, kind := range []kind{b.person, b.key} {
		b.refusals.WithLabelValues(kind.name).Collect(to)
	}
	b.faults.Collect(to)
}

// An Account is what a person or a key spends from, on whatever instance and however many connections.
type Account struct {
	budgets *Budgets
	kind    *kind
	subject uuid.UUID
}

// Person is the account of a person.
func (b *Budgets) Person(id uuid.UUID) Account { return Account{b, &b.person, id} }

// Key is the account of a partner key.
func (b *Budgets) Key(id uuid.UUID) Account { return Account{b, &b.key, id} }

// Subject is the person or the key whose account it is.
func (a Account) Subject() uuid.UUID { return a.subject }

// A Standing is how an account stood when something was spent.
type Standing struct {
	// Limit is how many points there are a minute. It is 0 if there is no limit, and then all else is too.
	Limit int
	// Remaining is how many of them are left.
	Remaining int
	// ResetAt is when all of them will be there again, on a full second.
	ResetAt time.Time
	// Wait is how many seconds there are until then, rounded up: from 1 to 60.
	Wait int

	kind *kind
}

// Spend takes so many points, or none if there are less; then it is not ok.
func (a Account) Spend(points int) (_ Standing, ok bool) {
	if a.kind.limit == 0 {
		return Standing{}, true
	}
	b := a.budgets
	b.mu.Lock()
	now := b.now() // behind the lock, so that minutes come in their order
	t := b.tally(a, a.minute(now))
	if ok = t.spent+points <= a.kind.limit; ok {
		t.spent += points
		t.own += points
	}
	standing := a.standing(t, now)
	b.mu.Unlock()
	if !ok {
		b.refusals.WithLabelValues(a.kind.name).Inc()
	}
	return standing, ok
}

// standing is how the account stands by its tally. The caller holds the lock.
func (a Account) standing(t *tally, now time.Time) Standing {
	resetAt := a.endOf(t.minute)
	return Standing{a.kind.limit, max(0, a.kind.limit-t.spent), resetAt, int(math.Ceil(resetAt.Sub(now).Seconds())), a.kind}
}

// Take takes so many points, whatever is left: what has begun is finished, and nothing else until the next minute.
func (a Account) Take(points int) {
	if a.kind.limit == 0 {
		return
	}
	b := a.budgets
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tally(a, a.minute(b.now()))
	t.spent += points
	t.own += points
}

// Return gives points back that were spent, with how the account stood then, and says how it stands now. Those of a minute that is over are gone.
func (a Account) Return(points int, spent Standing) Standing {
	if a.kind.limit == 0 {
		return Standing{}
	}
	b := a.budgets
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	t := b.tally(a, a.minute(now))
	if spent.ResetAt.Equal(a.endOf(t.minute)) {
		t.spent -= points
		t.own -= points
	}
	return a.standing(t, now)
}

// tally is that of an account's present minute. The caller holds the lock.
func (b *Budgets) tally(of Account, minute int64) *tally {
	t := b.tallies[of.subject]
	switch {
	case t == nil:
		t = &tally{minute: minute}
		b.tallies[of.subject] = t
	case t.minute != minute:
		*t = tally{minute: minute}
	}
	return t
}

// minute is the minute that it is for an account.
func (a Account) minute(now time.Time) int64 { return (now.Unix() + phase(a.subject)) / perMinute }

// endOf is when a minute of an account is over.
func (a Account) endOf(minute int64) time.Time {
	return time.Unix((minute+1)*perMinute-phase(a.subject), 0)
}

// phase is by how many seconds the minutes of a subject begin before those of the clock. The end of an id is as good as random.
func phase(subject uuid.UUID) int64 {
	return int64(binary.BigEndian.Uint32(subject[12:]) % perMinute)
}

// Show puts the standing into the headers of an answer, by draft-ietf-httpapi-ratelimit-headers-11, if there is a limit.
func (s Standing) Show(header http.Header) {
	if s.Limit == 0 {
		return
	}
	header.Set("RateLimit-Policy", s.kind.policy)
	header.Set("RateLimit", `"`+s.kind.name+`";r=`+strconv.Itoa(s.Remaining)+`;t=`+strconv.Itoa(s.Wait))
}

// Run tells the other instances what was spent with this one, and hears it of them, until ctx ends. It outlives every fault of the
// database.
func (b *Budgets) Run(ctx context.Context) error {
	every := time.NewTicker(settleEvery)
	defer every.Stop()
	alone := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
		switch err := b.settle(ctx); {
		case ctx.Err() != nil:
		case err != nil:
			b.faults.Inc()
			if !alone {
				b.logger.WarnContext(ctx, "each instance counts the budgets by itself until the database answers", "error", describe(err))
			}
			alone = true
		default:
			alone = false
		}
	}
}

// describe says of a fault what may be logged: what PostgreSQL says may repeat what is in a row.
func describe(err error) error {
	if fault := new(pq.Error); errors.As(err, &fault) {
		return fmt.Errorf("SQLSTATE %s", fault.Code)
	}
	return err
}

// own is what was spent with this instance of which the others do not know.
type own struct {
	subjects        []uuid.UUID
	minutes, points []int64
}

// settle tells the others what was spent with this instance since the last time, and learns what all of these accounts have spent
// together. Of who asked nothing here meanwhile nothing has to be known.
func (b *Budgets) settle(ctx context.Context) error {
	spent := b.take()
	if len(spent.subjects) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	// In one order, so that two instances can't wait for each other.
	const query = `
		WITH told AS (
			INSERT INTO budgets (minute, subject, spent)
			SELECT minute, subject, spent FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS own (subject, minute, spent)
			ORDER BY minute, subject
			ON CONFLICT (minute, subject) DO UPDATE SET spent = budgets.spent + excluded.spent
			RETURNING subject, minute, spent
		), forgotten AS (
			DELETE FROM budgets WHERE minute < $4
		)
		SELECT subject, minute, spent FROM told`
	var totals []struct {
		Subject uuid.UUID
		Minute  int64
		Spent   int
	}
	err := b.db.SelectContext(ctx, &totals, query, pq.Array(spent.subjects), pq.Array(spent.minutes), pq.Array(spent.points),
		b.now().Unix()/perMinute-keptMinutes)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		// It is told the next time. If it was written all the same, it counts twice in this minute.
		for i, subject := range spent.subjects {
			if t := b.tallies[subject]; t != nil && t.minute == spent.minutes[i] {
				t.own += int(spent.points[i])
			}
		}
		return fmt.Errorf("settle the budgets: %w", err)
	}
	for _, total := range totals {
		if t := b.tallies[total.Subject]; t != nil && t.minute == total.Minute {
			t.spent = max(t.spent, total.Spent+t.own)
		}
	}
	return nil
}

// take takes what the others do not know of yet, and sweeps out the tallies of minutes that are over.
func (b *Budgets) take() (spent own) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for subject, t := range b.tallies {
		switch {
		case t.minute != (Account{subject: subject}).minute(now):
			delete(b.tallies, subject)
		case t.own > 0:
			spent.subjects = append(spent.subjects, subject)
			spent.minutes = append(spent.minutes, t.minute)
			spent.points = append(spent.points, int64(t.own))
			t.own = 0
		}
	}
	return spent
}
