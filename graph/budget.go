package graph

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"corridor/graph/generated"
	"corridor/internal/budget"
	"corridor/internal/chat"
)

// complexityPerPoint is how much complexity a point of a budget buys.
const complexityPerPoint = 100

// MaxCost is what the largest operation costs that is taken, in points: who has less a minute may not ask everything.
const MaxCost = complexityLimit / complexityPerPoint

// cost is what an operation costs.
func cost(complexity int) int {
	return max(1, (complexity+complexityPerPoint-1)/complexityPerPoint)
}

// A bill is what an operation cost, and how its account stands behind it.
type bill struct {
	cost     int
	standing budget.Standing
}

const billExtension = "Bill"

// An entrance takes a point for every operation before it is so much as parsed: who has none left costs nothing but their
// sign-in. It stands before the limits, so that what they refuse is paid for.
type entrance struct{}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
} = entrance{}

func (entrance) ExtensionName() string                   { return "Entrance" }
func (entrance) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters refuses who has nothing left.
func (entrance) MutateOperationParameters(ctx context.Context, _ *graphql.RawParams) *gqlerror.Error {
	_, refused := spend(ctx, 1)
	return refused
}

// A cashier takes what an operation costs besides. It stands behind the limit of complexity, which works out how much that is.
type cashier struct{}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = cashier{}

func (cashier) ExtensionName() string                   { return "Cashier" }
func (cashier) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses an operation that costs more than is left.
func (cashier) MutateOperationContext(ctx context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	cost := cost(extension.GetComplexityStats(ctx).Complexity)
	standing, refused := spend(ctx, cost-1)
	operation.Stats.SetExtension(billExtension, &bill{cost, standing})
	return refused
}

// spend takes points of whoever asks, and says in the headers how they stand, or makes the answer a refusal.
func spend(ctx context.Context, points int) (budget.Standing, *gqlerror.Error) {
	standing, ok := ctx.Value(sessionKey{}).(*session).account.Spend(points)
	plain, _ := ctx.Value(plainRequestKey{}).(*plainRequest)
	if plain != nil {
		standing.Show(plain.header)
	}
	if ok {
		return standing, nil
	}
	if plain != nil {
		plain.status = http.StatusTooManyRequests
		plain.header.Set("Retry-After", strconv.Itoa(standing.Wait))
	}
	refused := refusal(string(chat.CodeRateLimited), fmt.Sprintf("This is more than what is left to ask for in this minute. Try again in %d seconds.", standing.Wait))
	refused.Extensions["retryAfter"] = standing.Wait
	return standing, refused
}

// RateLimit is what is left of the budget of whoever asks.
func (*queryResolver) RateLimit(ctx context.Context) (*generated.RateLimit, error) {
	b := graphql.GetOperationContext(ctx).Stats.GetExtension(billExtension).(*bill)
	if b.standing.Limit == 0 {
		return nil, nil
	}
	return &generated.RateLimit{Limit: b.standing.Limit, Cost: b.cost, Remaining: b.standing.Remaining, ResetAt: b.standing.ResetAt}, nil
}
