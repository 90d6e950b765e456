package main

import (
	"errors"
	"os"
	"testing"
)

func TestWhatLooksDifferentIsRefused(t *testing.T) {
	t.Parallel()
	generated, err := os.ReadFile("../generated/generated.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{
		"nothing that it knows":     "package generated",
		"what was made lean before": string(generated),
	} {
		if _, err := leaner([]byte(source), isScalar); !errors.Is(err, errUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// union is a field of a union, which stays as it is.
const union = `func (ec *executionContext) _Person_owner(ctx context.Context, field graphql.CollectedField, obj *Person) (ret graphql.Marshaler) {
	return graphql.ResolveField(
		ctx,
		ec.OperationContext,
		field,
		func(ctx context.Context, field graphql.CollectedField) (*graphql.FieldContext, error) {
			return ec.fieldContext_Person_owner(ctx, field)
		},
		func(ctx context.Context) (any, error) {
			return obj.Owner, nil
		},
		nil,
		func(ctx context.Context, selections ast.SelectionSet, v Owner) graphql.Marshaler {
			return ec.marshalNOwner2Owner(ctx, selections, v)
		},
		true,
		true,
	)
}

func (ec *executionContext) fieldContext_Person_owner(_ context.Context, field graphql.CollectedField) (fc *graphql.FieldContext, err error) {
	return graphql.NewScalarFieldContext("Person", field, false, false, errors.New("field of type Owner does not have child fields"))
}
`

func isScalar(name string) bool { return name == "String" }

// What is for @defer is gone, with what is in it; a scalar becomes a leaf, and a union does not.
func TestWhatIsMadeLean(t *testing.T) {
	t.Parallel()
	const source = `package generated

import (
	"corridor/graph/scalar"
	"math"
	"sync/atomic"
)

func (ec *executionContext) _Person(ctx context.Context, sel ast.SelectionSet, obj *Person) graphql.Marshaler {
	fields := graphql.CollectFields(ec.OperationContext, sel, personImplementors)

	out := graphql.NewFieldSet(fields)
	deferredFieldSet := graphql.NewFieldSet(nil)
	deferLabelToView := make(map[string]*graphql.FieldSetView)
	for i, field := range fields {
		switch field.Name {
		case "name":
			out.Values[i] = ec._Person_name(ctx, field, obj)
		case "boss":
			innerFunc := func(ctx context.Context, fs *graphql.FieldSet) (res graphql.Marshaler) {
				return ec._Person_boss(ctx, field, obj)
			}

			if field.IsDeferred() {
				// later
				continue
			}

			out.Concurrently(i, func(ctx context.Context) graphql.Marshaler { return innerFunc(ctx, out) })
		}
	}
	out.Dispatch(ctx)
	atomic.AddInt32(&ec.Deferred, int32(min(len(deferLabelToView), math.MaxInt32)))

	ec.ProcessDeferredGroup(graphql.DeferredGroup{FieldSet: deferredFieldSet})

	return out
}

func (ec *executionContext) _Person_name(ctx context.Context, field graphql.CollectedField, obj *Person) (ret graphql.Marshaler) {
	return graphql.ResolveField(
		ctx,
		ec.OperationContext,
		field,
		func(ctx context.Context, field graphql.CollectedField) (*graphql.FieldContext, error) {
			return ec.fieldContext_Person_name(ctx, field)
		},
		func(ctx context.Context) (any, error) {
			return obj.Name, nil
		},
		nil,
		func(ctx context.Context, selections ast.SelectionSet, v string) graphql.Marshaler {
			return ec.marshalNString2string(ctx, selections, v)
		},
		true,
		true,
	)
}

func (ec *executionContext) fieldContext_Person_name(_ context.Context, field graphql.CollectedField) (fc *graphql.FieldContext, err error) {
	return graphql.NewScalarFieldContext("Person", field, false, false, errors.New("field of type String does not have child fields"))
}

` + union + `
func (ec *executionContext) marshalPeople(ctx context.Context, sel ast.SelectionSet, v []*Person) graphql.Marshaler {
	return graphql.MarshalSliceConcurrently(ctx, len(v), 0, false, func(ctx context.Context, i int) graphql.Marshaler {
		return ec._Person(ctx, sel, v[i])
	})
}
`
	const want = `package generated

import (
	"corridor/graph/execution"
	"corridor/graph/scalar"
	"sync/atomic"
)

func (ec *executionContext) _Person(ctx context.Context, sel ast.SelectionSet, obj *Person) graphql.Marshaler {
	fields := graphql.CollectFields(ec.OperationContext, sel, personImplementors)

	out := execution.NewObject(fields)

	for i, field := range fields {
		switch field.Name {
		case "name":
			out.Values[i] = ec._Person_name(ctx, field, obj)
		case "boss":
			innerFunc := func(ctx context.Context, fs *execution.Object) (res graphql.Marshaler) {
				return ec._Person_boss(ctx, field, obj)
			}

			out.Concurrently(i, func(ctx context.Context) graphql.Marshaler { return innerFunc(ctx, out) })
		}
	}
	out.Dispatch(ctx)

	return out
}

func (ec *executionContext) _Person_name(ctx context.Context, field graphql.CollectedField, obj *Person) (ret graphql.Marshaler) {
	return execution.Leaf(
		ctx,
		ec.OperationContext,
		field,
		func(ctx context.Context, field graphql.CollectedField) (*graphql.FieldContext, error) {
			return ec.fieldContext_Person_name(ctx, field)
		},
		func(ctx context.Context) (string, error) {
			return obj.Name, nil
		},

		func(ctx context.Context, selections ast.SelectionSet, v string) graphql.Marshaler {
			return ec.marshalNString2string(ctx, selections, v)
		},
	)
}

func (ec *executionContext) fieldContext_Person_name(_ context.Context, field graphql.CollectedField) (fc *graphql.FieldContext, err error) {
	return graphql.NewScalarFieldContext("Person", field, false, false, errors.New("field of type String does not have child fields"))
}

` + union + `
func (ec *executionContext) marshalPeople(ctx context.Context, sel ast.SelectionSet, v []*Person) graphql.Marshaler {
	return execution.List(ctx, len(v), func(ctx context.Context, i int) graphql.Marshaler {
		return ec._Person(ctx, sel, v[i])
	})
}
`
	lean, err := leaner([]byte(source), isScalar)
	if err != nil {
		t.Fatal(err)
	}
	if string(lean) != want {
		t.Errorf("it is\n%s", lean)
	}
}
