package graph

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"corridor/internal/chat"
)

// A surface is what there is of the schema for somebody. An operation is validated against it, and
// introspection shows it: what is outside does not exist, by the same answers as what nobody ever
// heard of. schema.graphqls says by @access whom a field is for.
type surface struct {
	audience string
	schema   *ast.Schema
	exec     graphql.GraphExecutor
}

// has tells whether there is a type of that name.
func (s *surface) has(kind string) bool { return s.schema.Types[kind] != nil }

// isFor tells whether it is still what there is for an actor: somebody may not administer their clinic any more.
func (s *surface) isFor(actor chat.Actor) bool { return s.audience == audienceOf(actor).String() }

// surfaces makes each surface when somebody comes for whom it is: there are as many as there are
// sets of scopes, and two for people.
type surfaces struct {
	whole   *ast.Schema
	execute func(name string, schema *ast.Schema) graphql.GraphExecutor

	mu   sync.Mutex
	made map[string]*surface
}

// An audience is on whose behalf an operation is asked for: people or administrators, or the scopes of a key.
type audience []string

const (
	people         = "people"
	administrators = "administrators"
)

// String names the audience.
func (a audience) String() string { return strings.Join(a, " ") }

func audienceOf(actor chat.Actor) audience {
	switch {
	case actor.Grant != nil:
		scopes := make(audience, len(actor.Grant.Scopes))
		for i, scope := range actor.Grant.Scopes {
			scopes[i] = string(scope)
		}
		slices.Sort(scopes)
		return scopes
	case actor.IsAdministrator:
		return audience{people, administrators}
	}
	return audience{people}
}

// of is the surface for an actor.
func (all *surfaces) of(actor chat.Actor) *surface {
	audience := audienceOf(actor)
	name := audience.String()
	all.mu.Lock()
	defer all.mu.Unlock()
	made := all.made[name]
	if made == nil {
		schema := audience.part(all.whole)
		made = &surface{audience: name, schema: schema, exec: all.execute(name, schema)}
		all.made[name] = made
	}
	return made
}

// admits tells whether a field is for the audience.
func (a audience) admits(field *ast.FieldDefinition) bool {
	access := field.Directives.ForName("access")
	if access == nil {
		return true
	}
	for _, argument := range access.Arguments {
		switch argument.Name {
		case people, administrators:
			if argument.Value.Raw == "true" && slices.Contains(a, argument.Name) {
				return true
			}
		case "scopes":
			for _, scope := range argument.Value.Children {
				if slices.Contains(a, scope.Value.Raw) {
					return true
				}
			}
		}
	}
	return false
}

// part is what of a schema is for the audience: the fields that are, and the types that these lead to.
func (a audience) part(whole *ast.Schema) *ast.Schema {
	types := make(map[string]*ast.Definition, len(whole.Types))
	for name, definition := range whole.Types {
		part := *definition
		part.Fields = slices.DeleteFunc(slices.Clone(definition.Fields), func(field *ast.FieldDefinition) bool { return !a.admits(field) })
		types[name] = &part
	}
	reached := map[string]bool{}
	var reach func(name string)
	reach = func(name string) {
		definition := types[name]
		if definition == nil || reached[name] {
			return
		}
		reached[name] = true
		for _, field := range definition.Fields {
			reach(field.Type.Name())
			for _, argument := range field.Arguments {
				reach(argument.Type.Name())
			}
		}
		for _, implemented := range definition.Interfaces {
			reach(implemented)
		}
		// Whatever is asked for as a node must be there otherwise.
		if definition.IsAbstractType() && name != "Node" {
			for _, possible := range whole.PossibleTypes[name] {
				reach(possible.Name)
			}
		}
	}
	for name, definition := range types {
		if definition.BuiltIn {
			reach(name)
		}
	}
	root := func(of *ast.Definition) *ast.Definition {
		if of == nil || len(types[of.Name].Fields) == 0 {
			return nil
		}
		reach(of.Name)
		return types[of.Name]
	}
	part := &ast.Schema{
		Query: root(whole.Query), Mutation: root(whole.Mutation), Subscription: root(whole.Subscription),
		Directives: maps.Clone(whole.Directives), Description: whole.Description, SchemaDirectives: whole.SchemaDirectives,
		Types: types, PossibleTypes: map[string][]*ast.Definition{}, Implements: map[string][]*ast.Definition{},
	}
	delete(part.Directives, "access") // it would only say what there is for others
	maps.DeleteFunc(types, func(name string, _ *ast.Definition) bool { return !reached[name] })
	there := func(of map[string][]*ast.Definition, to map[string][]*ast.Definition) {
		for name, related := range of {
			for _, definition := range related {
				if reached[name] && reached[definition.Name] {
					to[name] = append(to[name], types[definition.Name])
				}
			}
		}
	}
	there(whole.PossibleTypes, part.PossibleTypes)
	there(whole.Implements, part.Implements)
	return part
}
