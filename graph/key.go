package graph

import (
	"context"

	"corridor/graph/generated"
	"corridor/internal/chat"
)

// PartnerKeys are the keys of the clinic's partners.
func (r *clinicResolver) PartnerKeys(ctx context.Context, _ *chat.Clinic, first int, after *string) (*generated.PartnerKeyConnection, error) {
	page, err := r.chat.PartnerKeys(ctx, actor(ctx), chat.Forward{First: first, After: optional(after)})
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.PartnerKey.Position, chat.Cursor, func(cursor string, node chat.PartnerKey) *generated.PartnerKeyEdge {
		return &generated.PartnerKeyEdge{Cursor: cursor, Node: &node}
	})
	return &generated.PartnerKeyConnection{Edges: edges, Nodes: pointers(page.Items), PageInfo: info}, nil
}

// ServiceAccounts are the accounts that programs of partners act as.
func (r *clinicResolver) ServiceAccounts(ctx context.Context, _ *chat.Clinic, first int, after *string, includeDeactivated bool) (*generated.ServiceAccountConnection, error) {
	viewer := actor(ctx)
	wanted, write := r.sealed(ctx, &viewer, first, after)
	page, err := r.chat.ServiceAccounts(ctx, viewer, wanted, includeDeactivated)
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.User.Position, write, func(cursor string, node chat.User) *generated.ServiceAccountEdge {
		return &generated.ServiceAccountEdge{Cursor: cursor, Node: &node}
	})
	return &generated.ServiceAccountConnection{Edges: edges, Nodes: pointers(page.Items), PageInfo: info}, nil
}

// Administrators are who administers the clinic.
func (r *clinicResolver) Administrators(ctx context.Context, _ *chat.Clinic, first int, after *string) (*generated.AdministratorConnection, error) {
	viewer := actor(ctx)
	wanted, write := r.sealed(ctx, &viewer, first, after)
	page, err := r.chat.Administrators(ctx, viewer, wanted)
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.User.Position, write, func(cursor string, node chat.User) *generated.AdministratorEdge {
		return &generated.AdministratorEdge{Cursor: cursor, Node: &node}
	})
	return &generated.AdministratorConnection{Edges: edges, Nodes: pointers(page.Items), PageInfo: info}, nil
}

// ServiceAccount is as whom the key acts.
func (r *partnerKeyResolver) ServiceAccount(ctx context.Context, key *chat.PartnerKey) (*chat.User, error) {
	return load(ctx).users.find(ctx, key.ServiceAccountID)
}

// CreatedBy is who made the key.
func (r *partnerKeyResolver) CreatedBy(ctx context.Context, key *chat.PartnerKey) (*chat.User, error) {
	if key.CreatedBy == nil {
		return nil, nil
	}
	return load(ctx).users.find(ctx, *key.CreatedBy)
}

// Replaces is the key that another one was made to replace.
func (r *partnerKeyResolver) Replaces(ctx context.Context, key *chat.PartnerKey) (*chat.PartnerKey, error) {
	if key.PredecessorID == nil {
		return nil, nil
	}
	return load(ctx).partnerKeys.find(ctx, *key.PredecessorID)
}

// CreateServiceAccount makes an account for a partner's program.
func (r *mutationResolver) CreateServiceAccount(ctx context.Context, input chat.CreateServiceAccountInput) (*generated.CreateServiceAccountPayload, error) {
	account, err := r.chat.CreateServiceAccount(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.CreateServiceAccountPayload{ServiceAccount: account, UserErrors: failures}, err
}

// DeactivateServiceAccount ends an account.
func (r *mutationResolver) DeactivateServiceAccount(ctx context.Context, input chat.DeactivateServiceAccountInput) (*generated.DeactivateServiceAccountPayload, error) {
	account, err := r.chat.DeactivateServiceAccount(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.DeactivateServiceAccountPayload{ServiceAccount: account, UserErrors: failures}, err
}

// ReactivateServiceAccount brings an account back.
func (r *mutationResolver) ReactivateServiceAccount(ctx context.Context, input chat.ReactivateServiceAccountInput) (*generated.ReactivateServiceAccountPayload, error) {
	account, err := r.chat.ReactivateServiceAccount(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.ReactivateServiceAccountPayload{ServiceAccount: account, UserErrors: failures}, err
}

// SetServiceAccountWaitingRooms says in which rooms an account is.
func (r *mutationResolver) SetServiceAccountWaitingRooms(ctx context.Context, input chat.SetServiceAccountWaitingRoomsInput) (*generated.SetServiceAccountWaitingRoomsPayload, error) {
	account, err := r.chat.SetServiceAccountWaitingRooms(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.SetServiceAccountWaitingRoomsPayload{ServiceAccount: account, UserErrors: failures}, err
}

// CreatePartnerKey makes a key.
func (r *mutationResolver) CreatePartnerKey(ctx context.Context, input chat.CreatePartnerKeyInput) (*generated.CreatePartnerKeyPayload, error) {
	key, secret, err := r.chat.CreatePartnerKey(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.CreatePartnerKeyPayload{PartnerKey: key, Secret: nonEmpty(secret), UserErrors: failures}, err
}

// RotatePartnerKey makes the successor of a key.
func (r *mutationResolver) RotatePartnerKey(ctx context.Context, input chat.RotatePartnerKeyInput) (*generated.RotatePartnerKeyPayload, error) {
	key, secret, err := r.chat.RotatePartnerKey(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.RotatePartnerKeyPayload{PartnerKey: key, Secret: nonEmpty(secret), UserErrors: failures}, err
}

// RevokePartnerKey ends a key.
func (r *mutationResolver) RevokePartnerKey(ctx context.Context, input chat.RevokePartnerKeyInput) (*generated.RevokePartnerKeyPayload, error) {
	key, err := r.chat.RevokePartnerKey(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.RevokePartnerKeyPayload{PartnerKey: key, UserErrors: failures}, err
}

// nonEmpty is null for what is not there.
func nonEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
