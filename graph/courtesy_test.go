package graph

import (
	"context"
	"net/http"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"corridor/internal/budget"
	"corridor/internal/chat"
)

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
