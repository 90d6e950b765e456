package graph

import (
	"context"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"corridor/graph/generated"
	"corridor/internal/chat"
)

// optional is the value of an argument that may be left out.
func optional(argument *string) string {
	if argument == nil {
		return ""
	}
	return *argument
}

// forward is the page that a connection's field asks for.
func forward(ctx context.Context, first int, after *string) chat.Forward {
	return chat.Forward{First: first, After: optional(after), WithCursor: wantsCursor(ctx)}
}

// wantsCursor tells whether the connection's place in the event stream is asked for: it costs two
// statements.
func wantsCursor(ctx context.Context) bool { return selects(ctx, "eventCursor") }

// selects tells whether a field is selected of what is resolved.
func selects(ctx context.Context, field string) bool {
	return slices.Contains(graphql.CollectAllFields(ctx), field)
}

// selectsBelow tells whether a field of this name is selected of what is resolved, or anywhere below.
func selectsBelow(ctx context.Context, name string) (found bool) {
	eachField(graphql.GetFieldContext(ctx).Field.Selections, func(field *ast.Field) { found = found || field.Name == name })
	return found
}

// eachField calls see for all fields of a selection, and those below.
func eachField(set ast.SelectionSet, see func(*ast.Field)) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			see(selection)
			eachField(selection.SelectionSet, see)
		case *ast.InlineFragment:
			eachField(selection.SelectionSet, see)
		case *ast.FragmentSpread:
			eachField(selection.Definition.SelectionSet, see) // validation has set it
		}
	}
}

// sealed is the page that a connection's field asks for, of a list whose cursors are sealed, and how positions in it are written. Where an object has a list of
// its own, its ids tell it from those of others.
func (r *resolver) sealed(ctx context.Context, viewer *chat.Actor, first int, after *string, of ...uuid.UUID) (page chat.Forward, write func(position []string) string) {
	field := graphql.GetFieldContext(ctx)
	list := field.Object + "." + field.Field.Name
	for _, id := range of {
		list += " " + id.String()
	}
	page = forward(ctx, first, after)
	if page.After != "" {
		page.After = r.seal.open(viewer, list, page.After)
	}
	return page, func(position []string) string { return r.seal.close(viewer, list, chat.Cursor(position)) }
}

// edgesOf makes the edges of a page and what it says of itself, as far as they are selected. Positions are written with
// chat.Cursor, or sealed: each costs more than what else there is of a row.
func edgesOf[T, E any](ctx context.Context, page chat.Page[T], position func(T) []string, write func(position []string) string, edge func(cursor string, node T) E) ([]E, *generated.PageInfo) {
	info := &generated.PageInfo{HasNextPage: page.HasNext, HasPreviousPage: page.HasPrevious}
	if last := len(page.Items) - 1; last >= 0 && selects(ctx, "pageInfo") {
		start, end := write(position(page.Items[0])), write(position(page.Items[last]))
		info.StartCursor, info.EndCursor = &start, &end
	}
	if !selects(ctx, "edges") {
		return nil, info
	}
	edges := make([]E, len(page.Items))
	for i, item := range page.Items {
		edges[i] = edge(write(position(item)), item)
	}
	return edges, info
}

// pointers makes pointers to items, as gqlgen wants them.
func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}
