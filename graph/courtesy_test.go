package graph

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"corridor/internal/budget"
	"corridor/internal/chat"
	"corridor/internal/pgtest"
)

// TestAKeyThatAsksForMuchAtOnceHasNoMoreTurnsThanOthers has three large queries of one key, and then one of another.
func TestAKeyThatAsksForMuchAtOnceHasNoMoreTurnsThanOthers(t *testing.T) {
	t.Parallel()
	c := newCourtesy()
	c.turns = make(chan struct{}, 1)
	busy, other := chat.PartnerKeyID{UUID: uuid.New()}, chat.PartnerKeyID{UUID: uuid.New()}
	served, goOn := make(chan chat.PartnerKeyID), make(chan struct{})
	var all sync.WaitGroup
	asks := func(key chat.PartnerKeyID) {
		operation := &graphql.OperationContext{Operation: &ast.OperationDefinition{Operation: ast.Query}}
		operation.Stats.SetExtension("ComplexityLimit", &extension.ComplexityStats{Complexity: largeComplexity})
		ctx := graphql.WithOperationContext(context.WithValue(t.Context(), sessionKey{}, &session{key: key}), operation)
		all.Go(func() {
			c.InterceptOperation(ctx, func(context.Context) graphql.ResponseHandler {
				return func(context.Context) *graphql.Response {
					served <- key
					<-goOn
					return nil
				}
			})(ctx)
		})
	}
	stand := func(key chat.PartnerKeyID, n int) {
		t.Helper()
		pgtest.Eventually(t, "they stand in line", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.lines[key] != nil && c.lines[key].length == n
		})
	}
	asks(busy)
	first := <-served
	asks(busy)
	asks(busy)
	stand(busy, 3)
	asks(other)
	pgtest.Eventually(t, "the other key wants a turn", func() bool { return c.wanted.Load() == 2 })
	order := []chat.PartnerKeyID{first}
	for range 3 {
		goOn <- struct{}{}
		order = append(order, <-served)
	}
	goOn <- struct{}{}
	all.Wait()

	if want := []chat.PartnerKeyID{busy, other, busy, busy}; !slices.Equal(order, want) {
		t.Errorf("they had their turns in the order %v, not %v", order, want)
	}
	if len(c.lines) > 0 || c.wanted.Load() != 0 {
		t.Errorf("%d lines are left, and %d want a turn", len(c.lines), c.wanted.Load())
	}
}

// TestALargeQueryWithoutATurnIsRefusedAndPaidBack has nobody give up their turn.
func TestALargeQueryWithoutATurnIsRefusedAndPaidBack(t *testing.T) {
	t.Parallel()
	budgets := budget.New(budget.Options{Key: 1000})
	asking := &session{account: budgets.Key([16]byte{1})}
	if _, ok := asking.account.Spend(200); !ok {
		t.Fatal("there is nothing to spend")
	}
	plain := &plainRequest{header: http.Header{}}
	ctx := context.WithValue(context.WithValue(t.Context(), sessionKey{}, asking), plainRequestKey{}, plain)
	operation := &graphql.OperationContext{}
	operation.Stats.SetExtension(billExtension, &bill{cost: 200})

	response := busy(graphql.WithOperationContext(ctx, operation))

	if code := response.Errors[0].Extensions["code"]; code != string(chat.CodeRateLimited) {
		t.Errorf("it is refused with %v", code)
	}
	if plain.status != http.StatusTooManyRequests || plain.header.Get("Retry-After") == "" {
		t.Errorf("it answers %d, %v", plain.status, plain.header)
	}
	if standing, _ := asking.account.Spend(0); standing.Remaining != 999 {
		t.Errorf("%d points are left, not all but the one for asking", standing.Remaining)
	}
}
