package graph

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"corridor/internal/chat"
)

// actorAge is how old what is known of an actor may be: their account may end, and their clinic
// change its policy, while a socket is open (E35).
const actorAge = 2 * time.Second

// session is who is asking, for one request or for the life of a socket.
type session struct {
	chat    *chat.Service
	subject uuid.UUID

	mu    sync.Mutex
	actor chat.Actor
	read  time.Time
}

type sessionKey struct{}

// now is the actor as they are now. With an error they are as they were last.
func (s *session) now(ctx context.Context) (chat.Actor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.read) < actorAge {
		return s.actor, nil
	}
	actor, err := s.chat.SignedIn(ctx, s.subject)
	if err != nil {
		return s.actor, err
	}
	s.actor, s.read = actor, time.Now()
	return actor, nil
}

type scopeKey struct{}

// scoped gives a response its loaders. They are made when the first field asks for them: an event
// may be long in coming, and is judged by what the actor may see then.
func scoped(ctx context.Context) context.Context {
	return context.WithValue(ctx, scopeKey{}, sync.OnceValue(func() *loaders {
		s := ctx.Value(sessionKey{}).(*session)
		actor, err := s.now(ctx)
		if errors.Is(err, chat.ErrSignedOut) {
			// Nobody sees nothing.
			endSession(ctx, closeForbidden, "Forbidden")
			actor = chat.Actor{}
		}
		return newLoaders(ctx, s.chat, actor)
	}))
}

// load returns the loaders of the response that is being made.
func load(ctx context.Context) *loaders { return ctx.Value(scopeKey{}).(func() *loaders)() }

// actor is who is asking.
func actor(ctx context.Context) chat.Actor { return load(ctx).actor }

// guarded runs what a resolver leaves running. A panic there would end the process.
func guarded(ctx context.Context, logger *slog.Logger, run func()) {
	defer func() {
		if panicked := recover(); panicked != nil {
			logger.ErrorContext(ctx, "a stream failed", "stack", string(debug.Stack()))
		}
	}()
	run()
}
