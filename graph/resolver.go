// Package graph is the chat as a GraphQL API: it translates between GraphQL and package chat, and
// nothing else. What one can do and see is decided there.
package graph

import (
	"context"
	"log/slog"

	"corridor/graph/generated"
	"corridor/graph/scalar"
	"corridor/internal/chat"
	"corridor/internal/transfer"
)

// resolver is the root of all resolvers. Those of one aggregate stand in its file.
type resolver struct {
	chat   *chat.Service
	logger *slog.Logger
	seal   seal
	links  transfer.Links
	fanOut *fanOut
}

var _ generated.ResolverRoot = (*resolver)(nil)

type (
	queryResolver              struct{ *resolver }
	mutationResolver           struct{ *resolver }
	subscriptionResolver       struct{ *resolver }
	viewerResolver             struct{ *resolver }
	userResolver               struct{ *resolver }
	contactResolver            struct{ *resolver }
	directConversationResolver struct{ *resolver }
	groupConversationResolver  struct{ *resolver }
	participantResolver        struct{ *resolver }
	messageResolver            struct{ *resolver }
	clinicResolver             struct{ *resolver }
	fileResolver               struct{ *resolver }
	partnerKeyResolver         struct{ *resolver }
	directoryResolver          struct{ *resolver }
	staffChangeResolver        struct{ *resolver }
	waitingRoomResolver        struct{ *resolver }
	webhookResolver            struct{ *resolver }
	contactAddedResolver       struct{ *resolver }
	contactChangedResolver     struct{ *resolver }
	fileChangedResolver        struct{ *resolver }
)

func (r *resolver) Query() generated.QueryResolver               { return &queryResolver{r} }
func (r *resolver) Mutation() generated.MutationResolver         { return &mutationResolver{r} }
func (r *resolver) Subscription() generated.SubscriptionResolver { return &subscriptionResolver{r} }
func (r *resolver) Viewer() generated.ViewerResolver             { return &viewerResolver{r} }
func (r *resolver) User() generated.UserResolver                 { return &userResolver{r} }
func (r *resolver) Contact() generated.ContactResolver           { return &contactResolver{r} }
func (r *resolver) Participant() generated.ParticipantResolver   { return &participantResolver{r} }
func (r *resolver) Message() generated.MessageResolver           { return &messageResolver{r} }
func (r *resolver) Clinic() generated.ClinicResolver             { return &clinicResolver{r} }
func (r *resolver) File() generated.FileResolver                 { return &fileResolver{r} }
func (r *resolver) FileChanged() generated.FileChangedResolver   { return &fileChangedResolver{r} }
func (r *resolver) ContactAdded() generated.ContactAddedResolver { return &contactAddedResolver{r} }

func (r *resolver) PartnerKey() generated.PartnerKeyResolver { return &partnerKeyResolver{r} }
func (r *resolver) Webhook() generated.WebhookResolver       { return &webhookResolver{r} }

func (r *resolver) Directory() generated.DirectoryResolver     { return &directoryResolver{r} }
func (r *resolver) StaffChange() generated.StaffChangeResolver { return &staffChangeResolver{r} }
func (r *resolver) WaitingRoom() generated.WaitingRoomResolver { return &waitingRoomResolver{r} }

func (r *resolver) DirectConversation() generated.DirectConversationResolver {
	return &directConversationResolver{r}
}

func (r *resolver) GroupConversation() generated.GroupConversationResolver {
	return &groupConversationResolver{r}
}

func (r *resolver) ContactChanged() generated.ContactChangedResolver {
	return &contactChangedResolver{r}
}

// Viewer is the actor.
func (r *queryResolver) Viewer(ctx context.Context) (*chat.Actor, error) {
	viewer := actor(ctx)
	return &viewer, nil
}

// Node finds one thing by its id.
func (r *queryResolver) Node(ctx context.Context, id scalar.NodeID) (chat.Node, error) {
	return node(ctx, id)
}

// maxNodes is how many things one call may name.
const maxNodes = 100

// Nodes finds many things by their ids.
func (r *queryResolver) Nodes(ctx context.Context, ids []*scalar.NodeID) ([]chat.Node, error) {
	if len(ids) > maxNodes {
		return nil, &chat.Error{Code: chat.CodeInvalid, Message: "Ask for at most 100 things at once.", Field: []string{"ids"}}
	}
	return together(ctx, ids, func(ctx context.Context, id *scalar.NodeID) (chat.Node, error) { return node(ctx, *id) })
}

// nodeTypes are the types of nodes by the kinds of their ids.
var nodeTypes = map[string]string{
	scalar.User: "User", scalar.Conversation: "Conversation", scalar.Participant: "Participant",
	scalar.Message: "Message", scalar.File: "File", scalar.WaitingRoom: "WaitingRoom",
}

// node asks the loader of the kind of the id. Each lets through what the actor may see.
func node(ctx context.Context, id scalar.NodeID) (chat.Node, error) {
	if !sessionOf(ctx).surface.has(nodeTypes[id.Kind]) {
		return nil, nil
	}
	switch id.Kind {
	case scalar.User:
		return found[chat.Node](load(ctx).knownUsers.find(ctx, chat.UserID{UUID: id.ID}))
	case scalar.Conversation:
		return found[chat.Node](load(ctx).conversations.find(ctx, chat.ConversationID{UUID: id.ID}))
	case scalar.Participant:
		return found[chat.Node](load(ctx).participants.find(ctx, chat.ParticipantID{UUID: id.ID}))
	case scalar.Message:
		return found[chat.Node](load(ctx).messages.find(ctx, chat.MessageID{UUID: id.ID}))
	case scalar.File:
		return found[chat.Node](load(ctx).files.find(ctx, chat.FileID{UUID: id.ID}))
	case scalar.WaitingRoom:
		return found[chat.Node](load(ctx).waitingRooms.find(ctx, chat.WaitingRoomID{UUID: id.ID}))
	}
	return nil, nil
}
