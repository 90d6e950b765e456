package graph

import (
	"context"

	"corridor/graph/generated"
	"corridor/graph/scalar"
	"corridor/internal/chat"
)

// Webhooks are those of the service account that asks.
func (r *viewerResolver) Webhooks(ctx context.Context, _ *chat.Actor, first int, after *string) (*generated.WebhookConnection, error) {
	return r.webhooks(ctx, first, after)
}

// Webhooks are those of all service accounts.
func (r *clinicResolver) Webhooks(ctx context.Context, _ *chat.Clinic, first int, after *string) (*generated.WebhookConnection, error) {
	return r.webhooks(ctx, first, after)
}

func (r *resolver) webhooks(ctx context.Context, first int, after *string) (*generated.WebhookConnection, error) {
	page, err := r.chat.WebhooksOf(ctx, actor(ctx), chat.Forward{First: first, After: optional(after)})
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.Webhook.Position, chat.Cursor, func(cursor string, node chat.Webhook) *generated.WebhookEdge {
		return &generated.WebhookEdge{Cursor: cursor, Node: &node}
	})
	return &generated.WebhookConnection{Edges: edges, Nodes: pointers(page.Items), PageInfo: info}, nil
}

// ServiceAccount is of whom the webhook tells.
func (r *webhookResolver) ServiceAccount(ctx context.Context, webhook *chat.Webhook) (*chat.User, error) {
	return load(ctx).users.find(ctx, webhook.ServiceAccountID)
}

// CreateWebhook makes a webhook.
func (r *mutationResolver) CreateWebhook(ctx context.Context, input chat.CreateWebhookInput) (*generated.CreateWebhookPayload, error) {
	webhook, secret, err := r.chat.CreateWebhook(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.CreateWebhookPayload{Webhook: webhook, Secret: nonEmpty(secret), UserErrors: failures}, err
}

// UpdateWebhook changes a webhook.
func (r *mutationResolver) UpdateWebhook(ctx context.Context, input chat.UpdateWebhookInput) (*generated.UpdateWebhookPayload, error) {
	webhook, err := r.chat.UpdateWebhook(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.UpdateWebhookPayload{Webhook: webhook, UserErrors: failures}, err
}

// RotateWebhookSecret makes a new secret.
func (r *mutationResolver) RotateWebhookSecret(ctx context.Context, input chat.RotateWebhookSecretInput) (*generated.RotateWebhookSecretPayload, error) {
	webhook, secret, err := r.chat.RotateWebhookSecret(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.RotateWebhookSecretPayload{Webhook: webhook, Secret: nonEmpty(secret), UserErrors: failures}, err
}

// PauseWebhook stops a webhook.
func (r *mutationResolver) PauseWebhook(ctx context.Context, input chat.PauseWebhookInput) (*generated.PauseWebhookPayload, error) {
	webhook, err := r.chat.PauseWebhook(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.PauseWebhookPayload{Webhook: webhook, UserErrors: failures}, err
}

// ResumeWebhook lets a webhook go on.
func (r *mutationResolver) ResumeWebhook(ctx context.Context, input chat.ResumeWebhookInput) (*generated.ResumeWebhookPayload, error) {
	webhook, err := r.chat.ResumeWebhook(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.ResumeWebhookPayload{Webhook: webhook, UserErrors: failures}, err
}

// ReplayWebhook tells again of what happened.
func (r *mutationResolver) ReplayWebhook(ctx context.Context, input chat.ReplayWebhookInput) (*generated.ReplayWebhookPayload, error) {
	webhook, err := r.chat.ReplayWebhook(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.ReplayWebhookPayload{Webhook: webhook, UserErrors: failures}, err
}

// TestWebhook sends an event that says nothing.
func (r *mutationResolver) TestWebhook(ctx context.Context, input chat.TestWebhookInput) (*generated.TestWebhookPayload, error) {
	webhook, err := r.chat.TestWebhook(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.TestWebhookPayload{Webhook: webhook, UserErrors: failures}, err
}

// DeleteWebhook ends a webhook.
func (r *mutationResolver) DeleteWebhook(ctx context.Context, input chat.DeleteWebhookInput) (*generated.DeleteWebhookPayload, error) {
	id, err := r.chat.DeleteWebhook(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	payload := &generated.DeleteWebhookPayload{UserErrors: failures}
	if err == nil && len(failures) == 0 {
		payload.WebhookID = &scalar.NodeID{Kind: scalar.Webhook, ID: id.UUID}
	}
	return payload, err
}
