package graph

import (
	"context"
	"slices"

	"github.com/99designs/gqlgen/graphql"

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
func wantsCursor(ctx context.Context) bool {
	return slices.Contains(graphql.CollectAllFields(ctx), "eventCursor")
}

// sealed is the page that a connection's field asks for, of a list whose cursors are sealed.
func (r *resolver) sealed(ctx context.Context, viewer *chat.Actor, first int, after *string) chat.Forward {
	page := forward(ctx, first, after)
	if page.After != "" {
		page.After = r.seal.open(viewer, page.After)
	}
	return page
}

// edgesOf makes the edges of a page, and what it says of itself. Positions are written with
// chat.Cursor, or sealed.
func edgesOf[T, E any](page chat.Page[T], position func(T) []string, write func(position []string) string, edge func(cursor string, node T) E) ([]E, *generated.PageInfo) {
	edges := make([]E, len(page.Items))
	info := &generated.PageInfo{HasNextPage: page.HasNext, HasPreviousPage: page.HasPrevious}
	for i, item := range page.Items {
		cursor := write(position(item))
		edges[i] = edge(cursor, item)
		if i == 0 {
			info.StartCursor = &cursor
		}
		info.EndCursor = &cursor
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
