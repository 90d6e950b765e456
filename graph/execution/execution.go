// Package execution does for each object, leaf and list of a response what gqlgen's runtime does, at less cost. What is generated calls it in
// place of that (graph/generate); docs/decisions/0023-leaner-execution.md has the figures.
package execution

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// Leaf resolves a field that has no fields of its own, needs no resolver and has no arguments. What it is in the response, its field context,
// is made out only if something goes wrong: that is most of what such a field costs in gqlgen. So interceptors of fields do not see leaves, and what
// marshals the value is not told of the field.
func Leaf[T any](ctx context.Context, operation *graphql.OperationContext, field graphql.CollectedField,
	contextOf func(context.Context, graphql.CollectedField) (*graphql.FieldContext, error),
	valueOf func(context.Context) (T, error),
	marshal func(context.Context, ast.SelectionSet, T) graphql.Marshaler,
) (written graphql.Marshaler) {
	within := func() context.Context {
		if at, err := contextOf(ctx, field); err == nil {
			return graphql.WithFieldContext(ctx, at)
		}
		return ctx
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			ctx := within()
			operation.Error(ctx, operation.Recover(ctx, panicked))
			written = graphql.Null
		}
	}()
	value, err := valueOf(ctx)
	if err != nil {
		ctx := within()
		operation.Error(ctx, graphql.AddFieldLocationToError(ctx, err))
		return graphql.Null
	}
	return marshal(ctx, field.Selections, value)
}

// An Object is an object of a response while it is made, and then what it is written from. It does what graphql.FieldSet does, but for @defer,
// which is not offered.
type Object struct {
	fields []graphql.CollectedField
	// Values are those of the fields.
	Values []graphql.Marshaler
	// Invalids counts fields that are null and may not be.
	Invalids uint32
	delayed  []delayed
}

type delayed struct {
	field int
	value func(context.Context) graphql.Marshaler
}

// NewObject returns an object that has these fields.
func NewObject(fields []graphql.CollectedField) *Object {
	return &Object{fields: fields, Values: make([]graphql.Marshaler, len(fields))}
}

// Concurrently leaves a field to Dispatch.
func (o *Object) Concurrently(field int, value func(context.Context) graphql.Marshaler) {
	o.delayed = append(o.delayed, delayed{field, value})
}

// Dispatch resolves the fields that were left to it at the same time, and returns when all are there.
func (o *Object) Dispatch(ctx context.Context) {
	if len(o.delayed) == 0 {
		return
	}
	var others sync.WaitGroup
	for _, d := range o.delayed[1:] {
		others.Go(func() { o.Values[d.field] = d.value(ctx) })
	}
	first := o.delayed[0]
	o.Values[first.field] = first.value(ctx)
	others.Wait()
}

// MarshalGQL implements graphql.Marshaler. A field that was selected twice is there once.
func (o *Object) MarshalGQL(w io.Writer) {
	write(w, `{`)
	between := `"`
	for i, field := range o.fields {
		if slices.ContainsFunc(o.fields[:i], func(before graphql.CollectedField) bool { return before.Alias == field.Alias }) {
			continue
		}
		write(w, between)
		write(w, field.Alias) // names are letters, digits and underscores
		write(w, `":`)
		o.Values[i].MarshalGQL(w)
		between = `,"`
	}
	write(w, `}`)
}

func write(w io.Writer, text string) {
	io.WriteString(w, text) //nolint:errcheck // gqlgen's writers are buffers
}

// List resolves the elements of a list, one after the other. Where one waits for something (Yield), the others go on meanwhile, so that all ask before
// anything is answered: a list costs as many goroutines as elements that wait, and not one for each.
func List(ctx context.Context, length int, element func(ctx context.Context, i int) graphql.Marshaler) graphql.Array {
	l := &list{ctx: ctx, elements: make(graphql.Array, length), resolve: element}
	l.outer, _ = ctx.Value(workerKey{}).(*worker)
	l.pause, _ = ctx.Value(pauseKey{}).(func(context.Context))
	l.workers.Add(1)
	l.work()
	l.workers.Wait()
	if l.failed.Load() {
		return nil
	}
	return l.elements
}

type list struct {
	ctx      context.Context
	elements graphql.Array
	resolve  func(ctx context.Context, i int) graphql.Marshaler
	pause    func(context.Context)
	// outer is who resolves the element in which the list is.
	outer *worker

	next    atomic.Int64
	workers sync.WaitGroup
	failed  atomic.Bool
}

// A worker resolves elements of a list.
type worker struct {
	of *list
	// yielded says that another one has gone on for it.
	yielded atomic.Bool
}

type (
	workerKey struct{}
	pauseKey  struct{}
)

// work resolves elements as long as there are some. A worker yields once, to another one that has not yielded; so as long as elements are left, the
// last one that came is not waiting, or has not begun to.
func (l *list) work() {
	defer l.workers.Done()
	ctx := context.WithValue(l.ctx, workerKey{}, &worker{of: l})
	for {
		i := int(l.next.Add(1)) - 1
		if i >= len(l.elements) {
			return
		}
		l.element(graphql.WithFieldContext(ctx, &graphql.FieldContext{Index: &i}), i)
	}
}

func (l *list) element(ctx context.Context, i int) {
	defer func() {
		if panicked := recover(); panicked != nil {
			graphql.AddError(ctx, graphql.Recover(ctx, panicked))
			l.failed.Store(true)
		}
	}()
	if l.pause != nil {
		l.pause(ctx)
	}
	l.elements[i] = l.resolve(ctx, i)
}

// Yield is called by what is about to wait for others to ask for the same: the elements behind those in which it stands go on meanwhile.
func Yield(ctx context.Context) {
	w, _ := ctx.Value(workerKey{}).(*worker)
	for ; w != nil; w = w.of.outer {
		if int(w.of.next.Load()) < len(w.of.elements) && w.yielded.CompareAndSwap(false, true) {
			w.of.workers.Add(1)
			go w.of.work()
		}
	}
}

// WithPause has pause called before each element of the lists of an operation.
func WithPause(ctx context.Context, pause func(context.Context)) context.Context {
	return context.WithValue(ctx, pauseKey{}, pause)
}
