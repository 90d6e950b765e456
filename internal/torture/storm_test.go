package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.jetify.com/typeid"
)

// storm is one run.
type storm struct {
	*world
	plan
	counts
	subscribers []*subscriber

	retries, changes, unsent atomic.Int64

	mu           sync.Mutex
	acknowledged map[uuid.UUID]int
	// convergence is how long it took everybody after each fault.
	convergence map[string][]time.Duration
}

// fault goes wrong for a while.
type fault struct {
	name string
	// strikes returns when the fault has ended.
	strikes func(*storm)
}

var faults = []fault{
	{"kill -9 of an instance", func(s *storm) {
		i := s.anInstance()
		i.kills()
		time.Sleep(300 * time.Millisecond)
		i.starts()
		i.waits()
	}},
	{"all sessions of the database end", func(s *storm) {
		s.breaks(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}},
	{"PostgreSQL is killed", func(s *storm) {
		s.postgres.Kill()
		s.postgres.Start()
	}},
	{"an instance stands still for 3 s", func(s *storm) {
		i := s.anInstance()
		_ = i.command.Process.Signal(syscall.SIGSTOP)
		time.Sleep(3 * time.Second)
		_ = i.command.Process.Signal(syscall.SIGCONT)
	}},
	{"the listeners are cut, again and again", func(s *storm) {
		for range 10 {
			s.breaks(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`)
			time.Sleep(100 * time.Millisecond)
		}
	}},
	{"latency of 50 ms", func(s *storm) {
		for _, i := range s.instances {
			i.proxy.slows(50 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		for _, i := range s.instances {
			i.proxy.slows(0)
		}
	}},
	{"connections are reset", func(s *storm) {
		for range 5 {
			s.anInstance().proxy.resets()
			time.Sleep(200 * time.Millisecond)
		}
	}},
	{"a black hole for 3 s", func(s *storm) {
		hole := s.anInstance().proxy
		hole.swallows()
		time.Sleep(3 * time.Second)
		hole.flows()
		hole.resets() // what was in it is gone
	}},
	{"readers stall for 3 s", func(s *storm) {
		stalled := s.someSubscribers(len(s.subscribers) / 4)
		for _, sub := range stalled {
			sub.stalled.Store(true)
		}
		time.Sleep(3 * time.Second)
		for _, sub := range stalled {
			sub.stalled.Store(false)
		}
	}},
	disconnects,
	{"a dump, a migration and a long transaction", func(s *storm) {
		long, err := s.db.Beginx()
		if err != nil {
			return // cut off by what was before
		}
		defer long.Rollback() //nolint:errcheck // it was never to be
		_, _ = long.Exec(`INSERT INTO clinics (id, name) VALUES (gen_random_uuid(), 'never')`)
		migrate := exec.Command(binary, "migrate")
		migrate.Env = append(os.Environ(), "DATABASE_URL="+s.postgres.URL)
		if said, err := migrate.CombinedOutput(); err != nil {
			s.t.Errorf("it does not migrate: %s", said)
		}
		dump, err := s.db.BeginTxx(s.t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
		if err != nil {
			return
		}
		defer dump.Rollback() //nolint:errcheck // it has only read
		_, _ = dump.Exec(`LOCK TABLE clinics, users, conversations, participants, messages, events, feed, spans, streams IN ACCESS SHARE MODE`)
		_, _ = dump.Exec(`SELECT count(*) FROM events JOIN feed USING (stream, seq)`)
		time.Sleep(3 * time.Second)
	}},
	{"an instance is restarted in order", func(s *storm) {
		i := s.anInstance()
		i.ends(syscall.SIGTERM)
		i.starts()
		i.waits()
	}},
}

var disconnects = fault{"clients disconnect", func(s *storm) {
	for range 5 {
		for _, sub := range s.someSubscribers(len(s.subscribers) / 3) {
			sub.drops()
		}
		time.Sleep(100 * time.Millisecond)
	}
}}

func (s *storm) anInstance() *instance { return s.instances[rand.N(len(s.instances))] }

func (s *storm) someSubscribers(n int) []*subscriber {
	some := slices.Clone(s.subscribers)
	rand.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some[:n]
}

// breaks does something to the database that may cut off who does it.
func (s *storm) breaks(query string) { _, _ = s.db.Exec(query) }

// plan is what a storm consists of.
type plan struct {
	settings
	lasting time.Duration
	// within is what everybody must have heard everything in behind a fault.
	within time.Duration
	// rate is how many messages are offered in a second, churn how many changes of membership.
	rate, churn int
	faults      []fault
}

// rages runs a storm and counts what went wrong.
func rages(t *testing.T, p plan) *storm {
	t.Helper()
	s := &storm{world: newWorld(t, p.settings), plan: p, acknowledged: map[uuid.UUID]int{}, convergence: map[string][]time.Duration{}}
	// Acknowledged is on the disk, as far as PostgreSQL is asked: the machine does not go down here.
	var durable string
	if err := s.db.Get(&durable, `SHOW synchronous_commit`); err != nil || durable != "on" {
		t.Fatalf("commits are not durable: %s, %v", durable, err)
	}
	following, end := context.WithCancel(t.Context())
	defer end()
	var listening, working sync.WaitGroup
	for _, person := range s.people {
		sub := &subscriber{w: s.world, person: person, began: make(chan struct{}), heard: map[string][]line{}}
		s.subscribers = append(s.subscribers, sub)
		listening.Go(func() { sub.follows(following) })
	}
	for _, sub := range s.subscribers {
		select {
		case <-sub.began:
		case <-time.After(patience):
			t.Fatalf("%s does not hear anything", sub.person.name)
		}
	}
	for _, c := range s.conversations {
		if err := s.db.Get(&c.start, `SELECT head FROM streams JOIN conversations ON stream = number WHERE id = $1`, c.id); err != nil {
			t.Fatal(err)
		}
	}
	// Who works finishes what they began: what is acknowledged is counted.
	over, stop := context.WithCancel(t.Context())
	defer stop()
	s.works(over, &working, p)

	began := time.Now()
	random := rand.New(rand.NewPCG(uint64(began.UnixNano()), 1))
	for n := 0; time.Since(began) < p.lasting; n++ {
		if n%len(p.faults) == 0 {
			random.Shuffle(len(p.faults), func(i, j int) { p.faults[i], p.faults[j] = p.faults[j], p.faults[i] })
		}
		fault := p.faults[n%len(p.faults)]
		fault.strikes(s)
		took := s.converges()
		s.convergence[fault.name] = append(s.convergence[fault.name], took)
		if took > p.within {
			s.late++
			s.find("after %q it took %s until everybody had heard everything", fault.name, took.Round(time.Millisecond))
		}
		s.mu.Lock()
		fmt.Fprintf(os.Stderr, "%5.0f s  %-46s everybody had heard everything after %6s; %d messages acknowledged\n",
			time.Since(began).Seconds(), fault.name, took.Round(time.Millisecond), len(s.acknowledged))
		s.mu.Unlock()
		time.Sleep(rand.N(time.Second))
	}
	stop()
	working.Wait()
	if took := s.converges(); took > p.within {
		s.late++
		s.find("in the end it took %s until everybody had heard everything", took.Round(time.Millisecond))
	}
	end()
	listening.Wait()
	s.judges()
	return s
}

// works lets people write, come and go until ctx ends.
func (s *storm) works(ctx context.Context, working *sync.WaitGroup, p plan) {
	finish := context.WithoutCancel(ctx)
	offers := make(chan struct{}, 64)
	every := func(n int, do func()) {
		working.Go(func() {
			tick := time.NewTicker(max(time.Millisecond, time.Second/time.Duration(n)))
			defer tick.Stop()
			// A ticker that is not heard in time leaves ticks out, so what is due is counted.
			began, done := time.Now(), 0
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					for ; done < int(time.Since(began).Seconds()*float64(n)); done++ {
						do()
					}
				}
			}
		})
	}
	every(p.rate, func() {
		select {
		case offers <- struct{}{}:
		default:
			s.unsent.Add(1) // everybody is busy
		}
	})
	for range 32 {
		working.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-offers:
					s.writes(finish)
				}
			}
		})
	}
	var groups []*conversation
	for _, c := range s.conversations {
		if len(c.guests) > 0 {
			groups = append(groups, c)
		}
	}
	for range min(p.churn, 8) {
		every(max(1, p.churn/8), func() { s.comesOrGoes(finish, groups) })
	}
}

// writes sends a message until it is acknowledged.
func (s *storm) writes(ctx context.Context) {
	c := s.conversations[rand.N(len(s.conversations))]
	payload, err := s.insists(ctx, c.members[rand.N(len(c.members))], "sendMessage", vars{"conversationId": c.node, "body": "The scan is in."}, "message { id }", &s.retries)
	var answer struct{ Message struct{ ID string } }
	if err == nil {
		err = json.Unmarshal(payload, &answer)
	}
	id, bad := typeid.FromString(answer.Message.ID)
	if err != nil || bad != nil {
		s.t.Errorf("a message was not acknowledged: %v, %v", err, bad)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acknowledged[uuid.MustParse(id.UUID())]++
}

// comesOrGoes adds a guest to a group, or removes them.
func (s *storm) comesOrGoes(ctx context.Context, groups []*conversation) {
	group := groups[rand.N(len(groups))]
	guest := group.guests[rand.N(len(group.guests))]
	if !guest.mu.TryLock() {
		return // somebody is at it
	}
	defer guest.mu.Unlock()
	mutation, input := "addParticipants", vars{"conversationId": group.node, "userIds": []string{guest.node}}
	if guest.in {
		mutation, input = "removeParticipant", vars{"conversationId": group.node, "userId": guest.node}
	}
	if _, err := s.insists(ctx, group.members[0], mutation, input, "", &s.retries); err != nil {
		s.t.Errorf("%s: %v", mutation, err)
		return
	}
	guest.in = !guest.in
	s.changes.Add(1)
}
