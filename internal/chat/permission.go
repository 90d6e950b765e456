package chat

// ConversationAction is something that a person may want to do in a conversation.
type ConversationAction string

// The actions. What enforces them is what tells people beforehand: may.
const (
	Send               ConversationAction = "SEND"
	AddParticipants    ConversationAction = "ADD_PARTICIPANTS"
	RemoveParticipants ConversationAction = "REMOVE_PARTICIPANTS"
	Rename             ConversationAction = "RENAME"
	TransferOwnership  ConversationAction = "TRANSFER_OWNERSHIP"
	Mute               ConversationAction = "MUTE"
	Archive            ConversationAction = "ARCHIVE"
	Leave              ConversationAction = "LEAVE"
	Delete             ConversationAction = "DELETE"
)

// may returns why the actor can't do something in the conversation, or nil if they can. The field is
// what names it in their input.
func (c *ConversationView) may(action ConversationAction, field string) error {
	if refused := c.refusal(action); refused != nil {
		return refused.of(field)
	}
	return nil
}

func (c *ConversationView) refusal(action ConversationAction) *Error {
	switch action {
	case Mute, Archive:
		return nil
	case Send:
		return c.sendRefusal()
	}
	if c.Kind == Direct {
		return refuse(CodeGroupOnly, "This is a direct conversation, not a group.")
	}
	switch {
	case action == Delete && !c.owned():
		return refuse(CodeNotGroupOwner, textOnlyOwner)
	case c.State() != Active || c.ClosedAt != nil:
		return refuse(CodeNotAParticipant, "You are not in this group any more.")
	case action == TransferOwnership && !c.owned():
		return refuse(CodeNotGroupOwner, "Only the group owner can hand over the group.")
	case action == Rename && c.policy.RenameGroup == OwnerOnly && !c.owned():
		return refuse(CodeNotGroupOwner, "Only the group owner can rename the group.")
	case (action == AddParticipants || action == RemoveParticipants) && c.policy.ManageParticipants == OwnerOnly && !c.owned():
		return refuse(CodeNotGroupOwner, "Only the group owner can change who is in the group.")
	}
	return nil
}

func (c *ConversationView) sendRefusal() *Error {
	switch {
	case c.State() != Active || c.ClosedAt != nil:
		return refuse(CodeNotAParticipant, textCannotSend)
	case c.Kind == Direct && !c.PeerActive:
		return refuse(CodePersonUnavailable, "This person is no longer at the clinic. You can still read the conversation.")
	case c.Kind == Direct && !c.PeerInReach:
		return refuse(CodeOutsideWaitingRoom, "You no longer share a waiting room with this person. You can still read the conversation.")
	}
	return nil
}

// ViewerCannot returns why the actor can't do something, or nil if they can.
func (c *ConversationView) ViewerCannot(action ConversationAction) *Error { return c.refusal(action) }

// ViewerCannotSendReason is the code of why the actor can't send, or nil if they can.
func (c *ConversationView) ViewerCannotSendReason() *ErrorCode {
	if refused := c.sendRefusal(); refused != nil {
		return &refused.Code
	}
	return nil
}

// ViewerCanSend tells whether the actor may send messages.
func (c *ConversationView) ViewerCanSend() bool { return c.refusal(Send) == nil }

// ViewerCanAddParticipants tells whether the actor may add people.
func (c *ConversationView) ViewerCanAddParticipants() bool { return c.refusal(AddParticipants) == nil }

// ViewerCanRemoveParticipants tells whether the actor may remove others.
func (c *ConversationView) ViewerCanRemoveParticipants() bool {
	return c.refusal(RemoveParticipants) == nil
}

// ViewerCanRename tells whether the actor may rename the group.
func (c *ConversationView) ViewerCanRename() bool { return c.refusal(Rename) == nil }

// ViewerCanTransferOwnership tells whether the actor may hand over the group.
func (c *ConversationView) ViewerCanTransferOwnership() bool {
	return c.refusal(TransferOwnership) == nil
}

// ViewerCanMute tells whether the actor may mute the conversation.
func (c *ConversationView) ViewerCanMute() bool { return c.refusal(Mute) == nil }

// ViewerCanArchive tells whether the actor may archive the conversation.
func (c *ConversationView) ViewerCanArchive() bool { return c.refusal(Archive) == nil }

// ViewerCanLeave tells whether the actor may leave the group.
func (c *ConversationView) ViewerCanLeave() bool { return c.refusal(Leave) == nil }

// ViewerCanDelete tells whether the actor may delete the group.
func (c *ConversationView) ViewerCanDelete() bool { return c.refusal(Delete) == nil }
