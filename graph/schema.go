package graph

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/extension"

	"corridor/graph/generated"
)

// SDL is the whole schema in the language of schemas, to the letter as it was written, descriptions and
// directives included.
func SDL() []byte {
	return []byte(generated.NewExecutableSchema(generated.Config{}).Schema().Query.Position.Src.Input)
}

// Introspection is the whole schema as tools read it: what a server answers to the introspection query, in JSON, always
// in the same order.
func Introspection() []byte {
	schema := *generated.NewExecutableSchema(generated.Config{}).Schema()
	schema.Directives = maps.Clone(schema.Directives)
	delete(schema.Directives, "defer") // gqlgen's; operations with it are refused
	exec := executor.New(generated.NewExecutableSchema(generated.Config{Schema: &schema}))
	exec.Use(extension.Introspection{})
	ctx := graphql.StartOperationTrace(context.Background())
	operation, errs := exec.CreateOperationContext(ctx, &graphql.RawParams{Query: schemaQuery})
	if errs != nil {
		panic(errs) // the query is a good one
	}
	respond, ctx := exec.DispatchOperation(ctx, operation)
	answer, err := json.Marshal(respond(ctx))
	if err != nil {
		panic(err) // it came as JSON
	}
	return append(answer, '\n')
}

// schemaQuery is that of graphql-js with all that it can ask for. gqlgen has one that leaves out what is
// deprecated of arguments and inputs, and whether directives repeat.
const schemaQuery = `
query IntrospectionQuery {
  __schema {
    description
    queryType { name }
    mutationType { name }
    subscriptionType { name }
    types { ...FullType }
    directives {
      name
      description
      isRepeatable
      locations
      args(includeDeprecated: true) { ...InputValue }
    }
  }
}
fragment FullType on __Type {
  kind
  name
  description
  specifiedByURL
  isOneOf
  fields(includeDeprecated: true) {
    name
    description
    args(includeDeprecated: true) { ...InputValue }
    type { ...TypeRef }
    isDeprecated
    deprecationReason
  }
  inputFields(includeDeprecated: true) { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue {
  name
  description
  type { ...TypeRef }
  defaultValue
  isDeprecated
  deprecationReason
}
fragment TypeRef on __Type {
  kind
  name
  ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } }
}`
