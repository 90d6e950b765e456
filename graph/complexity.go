package graph

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"corridor/graph/generated"
	"corridor/graph/scalar"
	"corridor/internal/chat"
)

// fieldCosts is what fields cost that have lists behind them: what is selected of an item, for as
// many items as are asked for. Every other field costs one and what is selected of it.
func fieldCosts() (c generated.ComplexityRoot) {
	c.Query.Nodes = func(child int, ids []*scalar.NodeID) int { return times(child, len(ids)) }
	c.Viewer.Contacts = func(child, first int, _ *string, _ string, _, _ *scalar.NodeID) int { return times(child, first) }
	c.Viewer.ChatTargets = func(child int, _ string, first int, _ *string) int { return times(child, first) }
	c.Viewer.Conversations = func(child, first int, _ *string, _ chat.ConversationFilter) int { return times(child, first) }
	c.Viewer.WaitingRooms = func(child, first int, _ *string) int { return times(child, first) }
	c.Contact.SharedWaitingRooms = func(child, first int, _ *string) int { return times(child, first) }
	c.GroupConversation.Participants = func(child, first int, _ *string) int { return times(child, first) }
	c.Clinic.PartnerKeys = func(child, first int, _ *string) int { return times(child, first) }
	c.Clinic.ServiceAccounts = func(child, first int, _ *string, _ bool) int { return times(child, first) }
	c.Clinic.Administrators = func(child, first int, _ *string) int { return times(child, first) }
	staff := func(child, first int, _ *string) int { return timesAtMost(child, first, chat.MaxStaffPage) }
	c.Directory.Staff, c.User.Contacts, c.WaitingRoom.Members, c.Directory.WaitingRooms = staff, staff, staff, staff
	c.Directory.Changes = func(child int, _ string, first int) int { return timesAtMost(child, first, chat.MaxStaffPage) }
	// People are in few rooms, however many are asked for.
	c.User.WaitingRooms = func(child, first int, _ *string) int { return times(child, min(first, usualRooms)) }
	c.Mutation.SyncRoster = func(child int, input chat.SyncRosterInput) int {
		return timesAtMost(child, len(input.Rows), chat.MaxRosterRows)
	}
	c.Mutation.AddRosterRows = func(child int, input chat.AddRosterRowsInput) int {
		return timesAtMost(child, len(input.Rows), chat.MaxRosterRows)
	}
	c.Viewer.Webhooks = func(child, first int, _ *string) int { return times(child, first) }
	c.Clinic.Webhooks = c.Viewer.Webhooks
	messages := func(child int, first *int, _ *string, last *int, _ *string) int {
		switch {
		case first != nil:
			return times(child, *first)
		case last != nil:
			return times(child, *last)
		}
		return times(child, 20)
	}
	c.DirectConversation.Messages, c.GroupConversation.Messages = messages, messages
	return c
}

// onceAPage are the fields that count nothing: what a page says of itself it says once, not for each item.
func onceAPage(schema *ast.Schema) map[string]struct{} {
	fields := map[string]struct{}{}
	for name := range schema.Types {
		if strings.HasSuffix(name, "Connection") {
			fields[name+".pageInfo"], fields[name+".eventCursor"], fields[name+".changesCursor"] = struct{}{}, struct{}{}, struct{}{}
		}
	}
	return fields
}

// usualRooms is in how many waiting rooms hardly anybody is.
const usualRooms = 5

// times is the cost of n items. What is out of bounds is refused elsewhere, by name; here it only
// must not make the sum smaller.
func times(child, n int) int { return timesAtMost(child, n, chat.MaxPage) }

// timesAtMost counts an item at least once: it is read, even if nothing is selected of it but what the page says of itself.
func timesAtMost(child, n, most int) int { return 1 + max(child, 1)*min(max(n, 1), most) }
