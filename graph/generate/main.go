// Command generate has gqlgen generate what schema.graphqls stands for, and then lets it call graph/execution where that does the same at less cost.
// docs/decisions/0023-leaner-execution.md says what changes, and why.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/api"
	"github.com/99designs/gqlgen/codegen/config"
)

func main() {
	if err := generate(); err != nil {
		fmt.Fprintln(os.Stderr, "what graph/generated holds now is not to be relied on:", err)
		os.Exit(1)
	}
}

func generate() error {
	settings, err := config.LoadConfigFromDefaultLocations()
	if err != nil {
		return err
	}
	log.SetOutput(io.Discard) // gqlgen tells of each field that has a resolver
	if err := api.Generate(settings); err != nil {
		return err
	}
	path := settings.Exec.Filename
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lean, err := leaner(source, func(name string) bool {
		definition := settings.Schema.Types[name]
		return definition != nil && definition.IsLeafType()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, lean, 0o644)
}

// errUnknown is for a gqlgen whose code looks different: look at it, and then at the patterns here.
var errUnknown = errors.New("this version of gqlgen generates other code than graph/generate knows")

// replaced is what generated code uses no more.
var replaced = []string{"FieldSet", "NewFieldSet", "DeferredGroup", "MarshalSliceConcurrently"}

// leaner returns generated code that calls graph/execution. Whether a type of the schema is a scalar or an enum isLeaf knows.
func leaner(source []byte, isLeaf func(name string) bool) ([]byte, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	g := &generated{file: file, functions: map[string]*ast.FuncDecl{}, isLeaf: isLeaf}
	for _, declared := range file.Decls {
		if function, ok := declared.(*ast.FuncDecl); ok && function.Recv != nil {
			g.functions[function.Name.Name] = function
		}
	}
	leaves, objects, lists := 0, 0, 0
	for name, function := range g.functions {
		if call := g.leaf(name); call != nil {
			makeLeaf(call)
			leaves++
		}
		if g.makeObject(function) {
			objects++
		}
		lists += makeLists(function)
	}
	if leaves == 0 || objects == 0 || lists == 0 || slices.ContainsFunc(replaced, func(name string) bool { return g.mentions("graphql", name) }) {
		return nil, errUnknown
	}
	file.Comments = slices.DeleteFunc(file.Comments, func(comment *ast.CommentGroup) bool {
		return slices.ContainsFunc(g.removed, func(node ast.Node) bool { return node.Pos() <= comment.Pos() && comment.End() <= node.End() })
	})
	var lean bytes.Buffer
	if err := format.Node(&lean, files, file); err != nil {
		return nil, err
	}
	text := strings.Replace(lean.String(), "\t\"corridor/graph/scalar\"\n", "\t\"corridor/graph/execution\"\n\t\"corridor/graph/scalar\"\n", 1)
	if !g.mentions("math", "") {
		text = strings.Replace(text, "\t\"math\"\n", "", 1)
	}
	return format.Source([]byte(text))
}

type generated struct {
	file      *ast.File
	functions map[string]*ast.FuncDecl
	isLeaf    func(name string) bool
	// removed are the statements that are gone.
	removed []ast.Node
}

// leaf returns the call that resolves the field, if the function does so and the field is one for execution.Leaf: a scalar or an enum that is
// there without a resolver or arguments, and whose type in Go can't be nil where null is not allowed. For unions the code is alike, but what is below
// them needs their field context.
func (g *generated) leaf(name string) *ast.CallExpr {
	call := returned(g.functions[name])
	if call == nil || !selects(call.Fun, "graphql", "ResolveField") || len(call.Args) != 9 {
		return nil
	}
	made := returned(g.functions["fieldContext"+name])
	if made == nil || !selects(made.Fun, "graphql", "NewScalarFieldContext") || !isNamed(made.Args[3], "false") || !isNamed(call.Args[5], "nil") {
		return nil
	}
	childless, ok := made.Args[4].(*ast.CallExpr) // errors.New("field of type T does not have child fields")
	if !ok || !g.isLeaf(typeNamed(childless.Args[0])) {
		return nil
	}
	value, ok := call.Args[4].(*ast.FuncLit)
	if !ok || len(value.Body.List) != 1 {
		return nil
	}
	if _, isPointer := leafType(call).(*ast.StarExpr); isPointer && isNamed(call.Args[8], "true") {
		return nil
	}
	return call
}

// typeNamed is the type that a message of gqlgen's is about.
func typeNamed(message ast.Expr) (name string) {
	literal, ok := message.(*ast.BasicLit)
	if !ok {
		return ""
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	if _, err := fmt.Sscanf(text, "field of type %s does not have child fields", &name); err != nil {
		return ""
	}
	return name
}

// leafType is the type in Go of a field, which its marshaling function takes last.
func leafType(call *ast.CallExpr) ast.Expr {
	taken := call.Args[6].(*ast.FuncLit).Type.Params.List
	return taken[len(taken)-1].Type
}

func makeLeaf(call *ast.CallExpr) {
	call.Fun = selector("execution", "Leaf")
	value := call.Args[4].(*ast.FuncLit)
	value.Type.Results.List[0].Type = ast.NewIdent(types.ExprString(leafType(call))) // which has no place, and so breaks no line
	call.Args = slices.Concat(call.Args[:5], call.Args[6:7])                         // neither directives, nor whether it survives panics or may be null
}

// makeObject takes what is for @defer out of a function that makes an object, and has it made by execution.
func (g *generated) makeObject(function *ast.FuncDecl) (is bool) {
	ast.Inspect(function, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.BlockStmt:
			node.List = g.without(node.List)
		case *ast.CaseClause:
			node.Body = g.without(node.Body)
		case *ast.CallExpr:
			if selects(node.Fun, "graphql", "NewFieldSet") {
				node.Fun, is = selector("execution", "NewObject"), true
			}
		case *ast.StarExpr:
			if selects(node.X, "graphql", "FieldSet") {
				node.X = selector("execution", "Object")
			}
		}
		return true
	})
	return is
}

// without leaves out the statements that are for @defer.
func (g *generated) without(statements []ast.Stmt) []ast.Stmt {
	return slices.DeleteFunc(statements, func(statement ast.Stmt) (deferred bool) {
		switch statement := statement.(type) {
		case *ast.AssignStmt:
			deferred = isNamed(statement.Lhs[0], "deferredFieldSet") || isNamed(statement.Lhs[0], "deferLabelToView")
		case *ast.IfStmt:
			call, ok := statement.Cond.(*ast.CallExpr)
			deferred = ok && selects(call.Fun, "field", "IsDeferred")
		case *ast.ExprStmt:
			call, ok := statement.X.(*ast.CallExpr)
			deferred = ok && (selects(call.Fun, "ec", "ProcessDeferredGroup") || len(call.Args) > 0 && isAddressOf(call.Args[0], "ec", "Deferred"))
		}
		if deferred {
			g.removed = append(g.removed, statement)
		}
		return deferred
	})
}

func makeLists(function *ast.FuncDecl) (n int) {
	ast.Inspect(function, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && selects(call.Fun, "graphql", "MarshalSliceConcurrently") {
			call.Fun = selector("execution", "List")
			call.Args = slices.Concat(call.Args[:2], call.Args[4:]) // neither how many at once, nor whether it survives panics
			n++
		}
		return true
	})
	return n
}

// mentions tells whether something of a package or variable is used, whatever it is if it has no name.
func (g *generated) mentions(of, name string) (found bool) {
	ast.Inspect(g.file, func(node ast.Node) bool {
		if used, ok := node.(*ast.SelectorExpr); ok && selects(used, of, name) {
			found = true
		}
		return !found
	})
	return found
}

// returned is the call that is all that a function does.
func returned(function *ast.FuncDecl) *ast.CallExpr {
	if function == nil || len(function.Body.List) != 1 {
		return nil
	}
	statement, ok := function.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(statement.Results) != 1 {
		return nil
	}
	call, _ := statement.Results[0].(*ast.CallExpr)
	return call
}

func selector(of, name string) ast.Expr {
	return &ast.SelectorExpr{X: ast.NewIdent(of), Sel: ast.NewIdent(name)}
}

func selects(expression ast.Expr, of, name string) bool {
	selected, ok := expression.(*ast.SelectorExpr)
	return ok && isNamed(selected.X, of) && (name == "" || selected.Sel.Name == name)
}

func isAddressOf(expression ast.Expr, of, name string) bool {
	address, ok := expression.(*ast.UnaryExpr)
	return ok && address.Op == token.AND && selects(address.X, of, name)
}

func isNamed(expression ast.Expr, name string) bool {
	named, ok := expression.(*ast.Ident)
	return ok && named.Name == name
}
