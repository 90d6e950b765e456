package graph

import (
	"context"

	"corridor/graph/generated"
	"corridor/internal/chat"
)

// Participants are who is in the group.
func (r *groupConversationResolver) Participants(ctx context.Context, group *chat.GroupConversation, first int, after *string) (*generated.ParticipantConnection, error) {
	window := chat.ParticipantWindow{Forward: forward(ctx, first, after), WithUsers: selectsBelow(ctx, "user"), WithSharing: selectsBelow(ctx, "sharesWaitingRoom")}
	page, err := load(ctx).participantPages.Load(ctx, pageOf[chat.ParticipantWindow]{group.ID, window})
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.Participant.Position, chat.Cursor, func(cursor string, node chat.Participant) *generated.ParticipantEdge {
		return &generated.ParticipantEdge{Cursor: cursor, Node: &node}
	})
	return &generated.ParticipantConnection{Edges: edges, Nodes: pointers(page.Items), PageInfo: info, EventCursor: page.EventCursor}, nil
}

// ParticipantCount is how many are in the group.
func (r *groupConversationResolver) ParticipantCount(ctx context.Context, group *chat.GroupConversation) (int, error) {
	if known := group.KnownParticipantCount(); known > 0 {
		return known, nil
	}
	return load(ctx).participantCounts.Load(ctx, group.ID)
}

// User is the person.
func (r *participantResolver) User(ctx context.Context, participant *chat.Participant) (*chat.User, error) {
	if user := participant.KnownUser(); user != nil {
		return user, nil
	}
	return load(ctx).users.find(ctx, participant.UserID)
}

// ViewerCanRemove tells whether the viewer may remove the person.
func (r *participantResolver) ViewerCanRemove(ctx context.Context, participant *chat.Participant) (bool, error) {
	conversation, err := load(ctx).conversation(ctx, participant.ConversationID)
	return conversation != nil && chat.CanRemove(conversation, *participant), err
}

// AddParticipants adds people to a group.
func (r *mutationResolver) AddParticipants(ctx context.Context, input chat.AddParticipantsInput) (*generated.AddParticipantsPayload, error) {
	group, outcomes, err := r.chat.AddParticipants(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.AddParticipantsPayload{Group: group, Outcomes: pointers(outcomes), UserErrors: failures}, err
}

// RemoveParticipant removes somebody else from a group.
func (r *mutationResolver) RemoveParticipant(ctx context.Context, input chat.RemoveParticipantInput) (*generated.RemoveParticipantPayload, error) {
	group, err := r.chat.RemoveParticipant(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.RemoveParticipantPayload{Group: group, UserErrors: failures}, err
}

// TransferOwnership hands a group over.
func (r *mutationResolver) TransferOwnership(ctx context.Context, input chat.TransferOwnershipInput) (*generated.TransferOwnershipPayload, error) {
	group, err := r.chat.TransferOwnership(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.TransferOwnershipPayload{Group: group, UserErrors: failures}, err
}

// LeaveGroup ends the viewer's membership.
func (r *mutationResolver) LeaveGroup(ctx context.Context, input chat.LeaveGroupInput) (*generated.LeaveGroupPayload, error) {
	group, err := r.chat.LeaveGroup(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.LeaveGroupPayload{Group: group, UserErrors: failures}, err
}
