package graph

import (
	"runtime"
	"testing"
	"weak"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

func TestAWireHoldsNothingBackAfterAPanic(t *testing.T) {
	t.Parallel()
	w := &wire{}
	func() {
		defer func() { _ = recover() }()
		_ = w.together(func() error { panic("in the middle of a message") })
	}()
	if w.held != nil {
		t.Error("what is written goes into a buffer that others use")
	}
}

func TestWhatIsKnownOfAnOperationDoesNotKeepItsDocument(t *testing.T) {
	t.Parallel()
	f := newFanOut(nil)
	operation := &ast.OperationDefinition{}
	document := weak.Make(operation)
	f.isPersonal(sharedOperationOf(&graphql.OperationContext{Operation: operation}))
	runtime.KeepAlive(operation)
	runtime.GC()
	if document.Value() != nil || len(f.personal) != 1 {
		t.Error("it is kept")
	}
}
