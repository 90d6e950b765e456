package execution

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// operation returns the context of one, and what goes wrong in it.
func operation(t *testing.T) (context.Context, *graphql.OperationContext, func() []string) {
	t.Helper()
	running := &graphql.OperationContext{
		RecoverFunc: func(_ context.Context, panicked any) error { return fmt.Errorf("panic: %v", panicked) },
	}
	ctx := graphql.WithOperationContext(t.Context(), running)
	ctx = graphql.WithResponseContext(ctx, func(ctx context.Context, err error) *gqlerror.Error {
		return graphql.DefaultErrorPresenter(ctx, err)
	}, running.RecoverFunc)
	ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Object: "Person", Field: named("person")})
	return ctx, running, func() (wrong []string) {
		for _, err := range graphql.GetErrors(ctx) {
			wrong = append(wrong, err.Path.String()+" "+err.Message)
		}
		return wrong
	}
}

func named(alias string) graphql.CollectedField {
	return graphql.CollectedField{Field: &ast.Field{Alias: alias, Name: alias}}
}

func leaf(ctx context.Context, running *graphql.OperationContext, alias string, value func(context.Context) (string, error)) graphql.Marshaler {
	return Leaf(ctx, running, named(alias),
		func(_ context.Context, field graphql.CollectedField) (*graphql.FieldContext, error) {
			return graphql.NewScalarFieldContext("Person", field, false, false, nil)
		},
		value,
		func(_ context.Context, _ ast.SelectionSet, value string) graphql.Marshaler {
			return graphql.MarshalString(value)
		})
}

func written(m graphql.Marshaler) string {
	var to bytes.Buffer
	m.MarshalGQL(&to)
	return to.String()
}

func TestAnObjectIsWrittenInTheOrderOfItsFields(t *testing.T) {
	t.Parallel()
	ctx, running, wrong := operation(t)
	fields := []graphql.CollectedField{named("name"), named("late"), named("name"), named("later"), named("email")}
	person := NewObject(fields)
	for i, field := range fields {
		value := func(ctx context.Context) graphql.Marshaler {
			return leaf(ctx, running, field.Alias, func(context.Context) (string, error) { return field.Alias + `"`, nil })
		}
		if strings.HasPrefix(field.Alias, "late") {
			person.Concurrently(i, value)
		} else {
			person.Values[i] = value(ctx)
		}
	}
	person.Dispatch(ctx)
	if is, want := written(person), `{"name":"name\"","late":"late\"","later":"later\"","email":"email\""}`; is != want {
		t.Errorf("it is %s, want %s", is, want)
	}
	if is := written(NewObject(nil)); is != "{}" {
		t.Errorf("without fields it is %s", is)
	}
	if errs := wrong(); errs != nil {
		t.Error(errs)
	}
}

func TestWhatGoesWrongInALeafIsToldWithItsPath(t *testing.T) {
	t.Parallel()
	ctx, running, wrong := operation(t)
	for _, m := range []graphql.Marshaler{
		leaf(ctx, running, "failing", func(context.Context) (string, error) { return "x", errors.New("no") }),
		leaf(ctx, running, "panicking", func(context.Context) (string, error) { panic("oh") }),
	} {
		if m != graphql.Null {
			t.Errorf("it is %s, want null", written(m))
		}
	}
	if is, want := wrong(), []string{"person.failing no", "person.panicking panic: oh"}; !slices.Equal(is, want) {
		t.Errorf("what went wrong is %q, want %q", is, want)
	}
}

// asked is a loader: it answers when all who will ask have asked.
type asked struct {
	mu      sync.Mutex
	missing int
	all     chan struct{}
}

func (a *asked) ask(ctx context.Context) {
	Yield(ctx)
	a.mu.Lock()
	a.missing--
	if a.missing == 0 {
		close(a.all)
	}
	a.mu.Unlock()
	<-a.all
}

// In a list of lists everybody asks before anybody is answered, however many wait and at whatever depth.
func TestElementsThatWaitHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	const rows, columns = 20, 7
	for name, waits := range map[string]func(row, column int) bool{
		"nobody": func(_, _ int) bool { return false },
		"all":    func(_, _ int) bool { return true },
		"some":   func(row, column int) bool { return row%3 == 0 && column%2 == 1 },
		"one":    func(row, column int) bool { return row == 0 && column == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, _, wrong := operation(t)
			loader := &asked{all: make(chan struct{})}
			want := make([]string, rows)
			for row := range rows {
				var cells []string
				for column := range columns {
					if waits(row, column) {
						loader.missing++
					}
					cells = append(cells, strconv.Itoa(row*columns+column))
				}
				want[row] = "[" + strings.Join(cells, ",") + "]"
			}
			found := List(ctx, rows, func(ctx context.Context, row int) graphql.Marshaler {
				return List(ctx, columns, func(ctx context.Context, column int) graphql.Marshaler {
					if waits(row, column) {
						loader.ask(ctx)
					}
					if path, want := graphql.GetPath(ctx).String(), fmt.Sprintf("person[%d][%d]", row, column); path != want {
						t.Errorf("it is at %s, want %s", path, want)
					}
					return graphql.MarshalInt(row*columns + column)
				})
			})
			if is, want := written(found), "["+strings.Join(want, ",")+"]"; is != want {
				t.Errorf("it is %s, want %s", is, want)
			}
			if errs := wrong(); errs != nil {
				t.Error(errs)
			}
		})
	}
}

// Whoever waits twice, or in several fields of one element at a time, hands over once.
func TestElementsMayWaitAgain(t *testing.T) {
	t.Parallel()
	const length, fields = 9, 3
	ctx, _, _ := operation(t)
	first, second := &asked{missing: length * fields, all: make(chan struct{})}, &asked{missing: length * fields, all: make(chan struct{})}
	found := List(ctx, length, func(ctx context.Context, i int) graphql.Marshaler {
		object := NewObject([]graphql.CollectedField{named("a"), named("b"), named("c")})
		for field := range fields {
			object.Concurrently(field, func(ctx context.Context) graphql.Marshaler {
				first.ask(ctx)
				second.ask(ctx)
				return graphql.MarshalInt(i)
			})
		}
		object.Dispatch(ctx)
		return object
	})
	if is := written(found); strings.Count(is, `{"a":`) != length || !strings.HasSuffix(is, `{"a":8,"b":8,"c":8}]`) {
		t.Errorf("it is %s", is)
	}
}

func TestAnElementThatPanicsMakesNothingOfTheList(t *testing.T) {
	t.Parallel()
	ctx, _, wrong := operation(t)
	var resolved atomic.Int64
	found := List(ctx, 5, func(_ context.Context, i int) graphql.Marshaler {
		resolved.Add(1)
		if i == 2 {
			panic("oh")
		}
		return graphql.MarshalInt(i)
	})
	if found != nil || resolved.Load() != 5 {
		t.Errorf("of %d elements the list is %v", resolved.Load(), found)
	}
	if is, want := wrong(), []string{"person[2] panic: oh"}; !slices.Equal(is, want) {
		t.Errorf("what went wrong is %q, want %q", is, want)
	}
	if empty := List(ctx, 0, nil); empty == nil || written(empty) != "[]" {
		t.Error("an empty list is null")
	}
}

func TestAListThatWaitsForNothingCostsNoGoroutines(t *testing.T) {
	t.Parallel()
	ctx, _, _ := operation(t)
	var pauses int // a race, if there were two
	ctx = WithPause(ctx, func(context.Context) { pauses++ })
	found := List(ctx, 100, func(_ context.Context, i int) graphql.Marshaler { return graphql.MarshalInt(i) })
	if len(found) != 100 || pauses != 100 {
		t.Errorf("%d elements, %d pauses", len(found), pauses)
	}
}
