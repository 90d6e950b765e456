package chat

import (
	"context"
	"sync"
	"time"
)

// turnTime is how long a change waits for its turn. It is less than an operation has, so that the caller hears why.
const turnTime = 10 * time.Second

// lane is what a change waits for before it takes a place among the writers: whoever waits in Postgres keeps the place.
type lane struct {
	// clinic is the name of that under whose lock the change is done. Those of one clinic take turns.
	clinic string
	// whole says that it is a whole roster of a partner, which takes long: it has a place of its own, and while one is
	// written others of the clinic are BUSY.
	whole bool
	// limit bounds the change from the moment it begins, by mutationTime if it is 0.
	limit time.Duration
}

// enter waits until a change may begin. What it took is given back by leave.
func (s *Service) enter(ctx context.Context, lane lane) (leave func(), err error) {
	var taken []func()
	leave = func() {
		for n := len(taken) - 1; n >= 0; n-- {
			taken[n]()
		}
	}
	take := func(turns *turns, name string, patience time.Duration) {
		if err != nil {
			return
		}
		var give func()
		if give, err = turns.take(ctx, name, patience); err == nil {
			taken = append(taken, give)
		}
	}
	if lane.whole {
		take(&s.rosters, lane.clinic, 0)
		take(&s.rosters, anyClinic, turnTime)
	}
	if lane.clinic != anyClinic {
		take(&s.clinics, lane.clinic, turnTime)
	}
	if err == nil && !lane.whole {
		select {
		case s.writers <- struct{}{}:
			taken = append(taken, func() { <-s.writers })
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// anyClinic is the name of none.
const anyClinic = ""

// turns are of those who do the same, one after the other, in the order in which they come. The zero value has nobody.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

// turn is that of one name, as long as somebody has it or waits for it.
type turn struct {
	place chan struct{}
	users int
}

// take takes the turn of a name. Who does not get it within their patience is BUSY.
func (t *turns) take(ctx context.Context, name string, patience time.Duration) (give func(), err error) {
	turn := t.join(name)
	give = func() {
		<-turn.place
		t.part(name, turn)
	}
	select {
	case turn.place <- struct{}{}:
		return give, nil
	default:
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case turn.place <- struct{}{}:
		return give, nil
	case <-late.C:
		err = rosterBusy()
	case <-ctx.Done():
		err = ctx.Err()
	}
	t.part(name, turn)
	return nil, err
}

func (t *turns) join(name string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]*turn{}
	}
	if t.of[name] == nil {
		t.of[name] = &turn{place: make(chan struct{}, 1)}
	}
	t.of[name].users++
	return t.of[name]
}

func (t *turns) part(name string, turn *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if turn.users--; turn.users == 0 {
		delete(t.of, name)
	}
}

// rosterBusy is what hears who did not get their turn. Nothing was done.
func rosterBusy() *Error {
	return refuse(CodeBusy, "The roster is being written, and nothing was done. Please try again in a moment.")
}

// alone keeps another instance from writing a whole roster of the clinic until the transaction ends.
func alone(ctx context.Context, tx *transaction) error {
	const query = `SELECT pg_try_advisory_xact_lock(hashtextextended('whole roster of ' || $1::text, 0))`
	var alone bool
	if err := tx.GetContext(ctx, &alone, query, tx.actor.Clinic.ID); err != nil {
		return err
	}
	if !alone {
		return rosterBusy()
	}
	return nil
}
