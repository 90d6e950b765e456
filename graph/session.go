package graph

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"corridor/graph/generated"
	"corridor/internal/budget"
	"corridor/internal/chat"
)

const (
	// actorAge is how old what is known of an actor may be: their account or session may end, and their
	// clinic change its policy, while a socket is open (E35).
	actorAge = 2 * time.Second
	// actorAgeAtMost is how old it may be if nothing newer can be had.
	actorAgeAtMost = 4 * time.Second
	// actorTime bounds the look-up. It is long: on a busy server everybody waits, and nobody is
	// sent away to come back and ask once more.
	actorTime = 10 * time.Second
)

// session is who is asking, for one request or for the life of a socket.
type session struct {
	chat *chat.Service
	// credential is of the person's token, or key the key that is used.
	credential chat.Credential
	key        chat.PartnerKeyID
	expires    time.Time
	surface    *surface
	// account is whose budget it spends.
	account budget.Account
	// removals is how often documents of a key had been removed when the session began.
	removals int64

	mu    sync.Mutex
	actor chat.Actor
	read  time.Time
	// used says that somebody asked since the last sweep.
	used bool
}

// newSession is the session of an actor who was looked up at a time.
func newSession(service *chat.Service, actor chat.Actor, asked time.Time) *session {
	s := &session{chat: service, credential: actor.Credential, expires: actor.Credential.ExpiresAt, actor: actor, read: asked, used: true}
	if grant := actor.Grant; grant != nil {
		s.key, s.expires, s.removals = grant.KeyID, grant.ExpiresAt, grant.DocumentRemovals
	}
	return s
}

type sessionKey struct{}

// sessionOf is the session that is asking, nil on a socket that has not said whose it is.
func sessionOf(ctx context.Context) *session {
	s, _ := ctx.Value(sessionKey{}).(*session)
	return s
}

// isOfKey tells whether a key is used.
func (s *session) isOfKey() bool { return s.key != (chat.PartnerKeyID{}) }

// known is the actor as they were when they were looked up last. Their clinic never changes, nor whether their key is bound.
func (s *session) known() chat.Actor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.actor
}

// now is the actor as they are now. Whoever asks can't make it fail by going away.
func (s *session) now(ctx context.Context) (chat.Actor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = true
	if time.Since(s.read) < actorAge {
		return s.actor, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), actorTime)
	defer cancel()
	asked := time.Now()
	actor, err := s.lookUp(ctx)
	switch {
	case err == nil:
		s.actor, s.read = actor, asked
	case !errors.Is(err, chat.ErrSignedOut) && time.Since(s.read) < actorAgeAtMost:
		return s.actor, nil
	}
	return actor, err
}

// lookUp finds out who the actor is by now.
func (s *session) lookUp(ctx context.Context) (chat.Actor, error) {
	if !s.isOfKey() {
		return s.chat.SignedIn(ctx, s.credential)
	}
	granted, err := s.chat.Granted(ctx, []chat.PartnerKeyID{s.key})
	actor, ok := granted[s.key]
	if err == nil && !ok {
		err = chat.ErrSignedOut
	}
	return actor, err
}

// sessions are those of the open carriers. One that asks for nothing ends with its person's account,
// or when they sign out, all the same.
type sessions struct {
	chat   *chat.Service
	logger *slog.Logger

	mu       sync.Mutex
	open     map[*session]context.Context
	sweeping bool
	// swept is when the last sweep began that came to its end.
	swept time.Time
}

func newSessions(service *chat.Service, logger *slog.Logger) *sessions {
	return &sessions{chat: service, logger: logger, open: map[*session]context.Context{}, swept: time.Now()}
}

// sweepEvery is below actorAge, so that sessions seldom look their actors up one by one.
const sweepEvery = 1500 * time.Millisecond

// sweepOverlap is how far a sweep looks back beyond the one before: for as long as a change may take from
// its time to its commit.
const sweepOverlap = time.Minute

// watch looks after a session until its context ends.
func (all *sessions) watch(ctx context.Context, s *session) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.open[s] = ctx
	if !all.sweeping {
		all.sweeping = true
		go all.sweep()
	}
	context.AfterFunc(ctx, func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		delete(all.open, s)
	})
}

// sweep tells the sessions that were used who their actors are now, and ends those whose people signed
// out or whose accounts ended, as long as there are any sessions.
func (all *sessions) sweep() {
	every := time.NewTicker(sweepEvery)
	defer every.Stop()
	for range every.C {
		if !all.look() {
			return
		}
	}
}

// look is one sweep. It reports whether there are any sessions.
func (all *sessions) look() (more bool) {
	defer func() {
		if panicked := recover(); panicked != nil { // it would end the process
			all.logger.Error("a sweep of the sessions failed", "stack", string(debug.Stack()))
			more = true
		}
	}()
	all.mu.Lock()
	open, swept := maps.Clone(all.open), all.swept
	all.sweeping = len(open) > 0
	all.mu.Unlock()
	asked := time.Now()
	if len(open) == 0 {
		return false
	}
	var ask []chat.Credential
	var idle []chat.UserID
	var keys []chat.PartnerKeyID
	idleOf := map[chat.UserID][]*session{}
	for s := range open {
		if s.isOfKey() {
			keys = append(keys, s.key)
		} else if used, user := s.wasUsed(); used {
			ask = append(ask, s.credential)
		} else {
			idle, idleOf[user] = append(idle, user), append(idleOf[user], s)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), actorTime)
	defer cancel()
	doubtful, err := all.chat.MaybeSignedOut(ctx, idle, asked.Sub(swept)+sweepOverlap)
	if err != nil {
		return true
	}
	for user := range doubtful {
		for _, s := range idleOf[user] {
			ask = append(ask, s.credential)
		}
	}
	actors, err := all.chat.AllSignedIn(ctx, ask)
	if err != nil {
		return true
	}
	granted, err := all.chat.Granted(ctx, keys)
	if err != nil {
		return true
	}
	looked := make(map[chat.Credential]bool, len(ask))
	for _, credential := range ask {
		looked[credential] = true
	}
	for s, ctx := range open {
		actor, ok := actors[s.credential]
		if s.isOfKey() {
			actor, ok = granted[s.key]
		}
		switch {
		case ok && actor.RunsOnlyDocuments() && actor.Grant.DocumentRemovals != s.removals:
			endSession(ctx, closeTryAgain, "Documents were removed") // those that are running may be among them
		case ok && !s.surface.isFor(actor):
			endSession(ctx, closeTryAgain, "Connect again: you may use another part of the schema now")
		case ok:
			s.is(actor, asked)
		case s.isOfKey() || looked[s.credential]:
			endSession(ctx, closeForbidden, "Forbidden")
		}
	}
	all.mu.Lock()
	all.swept = asked
	all.mu.Unlock()
	return true
}

// wasUsed tells whether somebody asked who the actor is since it was asked last, and who they were then.
func (s *session) wasUsed() (was bool, user chat.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was = s.used
	s.used = false
	return was, s.actor.User.ID
}

// SignOut ends the viewer's sessions.
func (r *mutationResolver) SignOut(ctx context.Context, input chat.SignOutInput) (*generated.SignOutPayload, error) {
	at, err := r.chat.SignOut(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	payload := &generated.SignOutPayload{UserErrors: failures}
	if !at.IsZero() {
		payload.SignedOutAt = &at
	}
	return payload, err
}

// is takes down who the actor was at a time.
func (s *session) is(actor chat.Actor, asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read.Before(asked) {
		s.actor, s.read = actor, asked
	}
}

type scopeKey struct{}

// A scope is what the fields of one response share: who is asking, and the loaders. Both are made when
// the first field asks for them: an event may be long in coming, and is judged by what the actor may
// see then.
type scope struct {
	actor   func() chat.Actor // nobody with an error, who sees nothing
	loaders func() *loaders
}

// scoped gives a response its scope.
func scoped(ctx context.Context) context.Context {
	s := sessionOf(ctx)
	made := &scope{actor: sync.OnceValue(func() chat.Actor {
		actor, err := s.now(ctx)
		switch {
		case errors.Is(err, chat.ErrSignedOut):
			endSession(ctx, closeForbidden, "Forbidden")
		case err != nil:
			endSession(ctx, closeTryAgain, "Try again later")
		case !s.surface.isFor(actor):
			endSession(ctx, closeTryAgain, "Connect again: you may use another part of the schema now")
		}
		return actor
	})}
	made.loaders = sync.OnceValue(func() *loaders { return newLoaders(ctx, s.chat, made.actor()) })
	return context.WithValue(ctx, scopeKey{}, made)
}

// load returns the loaders of the response that is being made.
func load(ctx context.Context) *loaders { return ctx.Value(scopeKey{}).(*scope).loaders() }

// actor is who is asking.
func actor(ctx context.Context) chat.Actor { return ctx.Value(scopeKey{}).(*scope).actor() }

// survive is deferred by what a resolver leaves running: a panic there would end the process.
func survive(ctx context.Context, logger *slog.Logger) {
	if panicked := recover(); panicked != nil {
		reportPanic(ctx, logger)
	}
}

// reportPanic reports a panic, and closes what carries ctx before the stream looks complete, so that the
// client resumes.
func reportPanic(ctx context.Context, logger *slog.Logger) {
	logger.ErrorContext(ctx, "a stream failed", "stack", string(debug.Stack()))
	endSession(ctx, closeTryAgain, "Try again later")
}
