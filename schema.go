package main

import "corridor/graph"

// Where the schema can be had, by whoever can reach the server.
const (
	sdlPath           = "/schema.graphqls"
	introspectionPath = "/schema.json"
)

type schemaCommand struct {
	JSON bool `name:"json" help:"As what a server answers to the introspection query."`
}

// Run prints the schema of the API.
func (c *schemaCommand) Run(streams streams) error {
	schema := graph.SDL
	if c.JSON {
		schema = graph.Introspection
	}
	_, err := streams.stdout.Write(schema())
	return err
}
