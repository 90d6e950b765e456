package graph

import (
	"context"

	"corridor/graph/generated"
	"corridor/graph/scalar"
	"corridor/internal/chat"
)

// SyncRoster changes the people of some rows.
func (r *mutationResolver) SyncRoster(ctx context.Context, input chat.SyncRosterInput) (*generated.SyncRosterPayload, error) {
	outcomes, err := r.chat.SyncRoster(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.SyncRosterPayload{Outcomes: pointers(outcomes), UserErrors: failures}, err
}

// StartRosterSync begins a whole roster.
func (r *mutationResolver) StartRosterSync(ctx context.Context, input chat.StartRosterSyncInput) (*generated.StartRosterSyncPayload, error) {
	id, err := r.chat.StartRosterSync(ctx, actor(ctx), input)
	if failures, err := userErrors(err); err != nil || len(failures) > 0 {
		return &generated.StartRosterSyncPayload{UserErrors: failures}, err
	}
	return &generated.StartRosterSyncPayload{
		SyncID: &scalar.NodeID{Kind: scalar.RosterSync, ID: id.UUID}, UserErrors: []*chat.Error{},
	}, nil
}

// AddRosterRows adds rows to a whole roster.
func (r *mutationResolver) AddRosterRows(ctx context.Context, input chat.AddRosterRowsInput) (*generated.AddRosterRowsPayload, error) {
	outcomes, err := r.chat.AddRosterRows(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.AddRosterRowsPayload{Outcomes: pointers(outcomes), UserErrors: failures}, err
}

// FinishRosterSync applies a whole roster.
func (r *mutationResolver) FinishRosterSync(ctx context.Context, input chat.FinishRosterSyncInput) (*generated.FinishRosterSyncPayload, error) {
	summary, err := r.chat.FinishRosterSync(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.FinishRosterSyncPayload{Summary: summary, UserErrors: failures}, err
}
