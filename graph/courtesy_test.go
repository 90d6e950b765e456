package graph

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/ast"

	"corridor/internal/budget"
	"corridor/internal/chat"
	"corridor/internal/courtesy"
)

// TestALargeQueryIsAnsweredOnce asks for one as a stream does, on and on until there is nothing more: first it has its turn, and then another has it.
// It runs in a bubble, whose clock jumps on when all wait: Sleep is how long something lasts, and nobody waits for it.
func TestALargeQueryIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		account := budget.New(budget.Options{Key: 1000}).Key([16]byte{1})
		turns := turns{courtesy.New()}
		asks := func() (next func() *graphql.Response, plain *plainRequest) {
			standing, ok := account.Spend(200)
			if !ok {
				t.Fatal("there is nothing to spend")
			}
			plain = &plainRequest{header: http.Header{}}
			operation := &graphql.OperationContext{Operation: &ast.OperationDefinition{Operation: ast.Query}}
			operation.Stats.SetExtension("ComplexityLimit", &extension.ComplexityStats{Complexity: largeComplexity})
			operation.Stats.SetExtension(billExtension, &bill{200, standing})
			ctx := context.WithValue(context.WithValue(t.Context(), sessionKey{}, &session{account: account}), plainRequestKey{}, plain)
			ctx = graphql.WithOperationContext(ctx, operation)
			respond := turns.InterceptOperation(ctx, func(context.Context) graphql.ResponseHandler {
				return func(context.Context) *graphql.Response {
					time.Sleep(time.Millisecond)
					return &graphql.Response{Data: []byte("{}")}
				}
			})
			return func() *graphql.Response { return respond(ctx) }, plain
		}

		next, plain := asks()
		if response := next(); string(response.Data) != "{}" || plain.status != 0 {
			t.Errorf("it is answered with %+v and %d", response, plain.status)
		}
		begun := time.Now()
		if response := next(); response != nil || time.Since(begun) > 0 {
			t.Errorf("it is answered again, after %v, with %+v", time.Since(begun), response)
		}
		time.Sleep(time.Minute)
		held := holds(t, turns.courtesy)
		next, plain = asks()
		begun = time.Now()
		response := next()
		if waited := time.Since(begun); waited < shortestWait || waited > longestWait {
			t.Errorf("it is refused after %v", waited)
		}
		if code := response.Errors[0].Extensions["code"]; code != string(chat.CodeRateLimited) {
			t.Errorf("it is refused with %v", code)
		}
		if plain.status != http.StatusTooManyRequests || plain.header.Get("Retry-After") == "" || !strings.HasPrefix(plain.header.Get("RateLimit"), `"key";r=999;`) {
			t.Errorf("it answers %d, %v", plain.status, plain.header)
		}
		for _, done := range held {
			done()
		}
		if response := next(); response != nil {
			t.Errorf("it is refused, and then answered with %+v", response)
		}
		if standing, _ := account.Spend(0); standing.Remaining != 999 {
			t.Errorf("%d points are left, not all but the one for asking", standing.Remaining)
		}
		time.Sleep(time.Minute)
	})
}

// holds has all turns until what it returns is called.
func holds(t *testing.T, c *courtesy.Courtesy) (held []func()) {
	t.Helper()
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		ctx, work := c.Begin(t.Context())
		done, err := work.Piece(ctx)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, done)
	}
	return held
}
