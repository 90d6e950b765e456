package graph_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"corridor/internal/chat"
)

func TestS27S28S33S34E10E30ParticipantsAreAddedEachWithAnOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr")
	ann, bob, cy, dee := people[0], people[1], people[2], people[3]
	eve := w.person("Eve Fox", "Lab")
	group := ann.group("Case", bob, cy)
	cy.leaves(group)
	newcomer := dee.follows()

	added := ann.did("addParticipants", vars{"conversationId": group, "userIds": ids([]*person{bob, cy, dee, eve})},
		"group { participants { nodes { role joinedAt user { name } } } } outcomes { userId outcome }")

	check(t, "outcomes", added.texts("outcomes", "outcome"), "ALREADY_IN, READDED, ADDED, NOT_IN_CONTACT_LIST")
	check(t, "for whom", added.texts("outcomes", "userId"), strings.Join(ids([]*person{bob, cy, dee, eve}), ", "))
	check(t, "participants", added.texts("group.participants.nodes", "user.name"), "Ann Lee, Bob Roy, Cy Fall, Dee Orr")
	check(t, "Dee hears", newcomer.hears(), "added to Case")
	check(t, "Bob reads", bob.reads(group), "Ann Lee created the group., Cy Fall left the group., Ann Lee added Cy Fall., Ann Lee added Dee Orr.")
	check(t, "Dee reads", dee.reads(group), "Ann Lee added you.")
	check(t, "who can be added", ann.sees(`query ($id: ID!) { viewer { contacts(notInConversation: $id) { nodes { name } } } }`, vars{"id": group}).texts("viewer.contacts.nodes", "name"), "")
	page := ann.looksAtGroup(group, "participants(first: 2) { nodes { user { name } } pageInfo { hasNextPage endCursor } }")
	rest := ann.looksAtGroup(group, `participants(first: 2, after: "`+page.text("participants.pageInfo.endCursor")+`") { nodes { user { name } } pageInfo { hasNextPage } }`)
	check(t, "in pages", page.texts("participants.nodes", "user.name")+" | "+rest.texts("participants.nodes", "user.name"), "Ann Lee, Bob Roy | Cy Fall, Dee Orr")
	for _, userIDs := range [][]string{{}, make([]string, 101)} {
		ann.isRefused("INVALID", "addParticipants", vars{"conversationId": group, "userIds": userIDs})
	}
}

// S31: the contact list of who adds counts, nobody else's.
func TestS31WhoAddsNeedsToKnowThePerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk", "Lab")
	bob := w.person("Bob Roy", "Front desk")
	cy := w.person("Cy Fall", "Lab")
	group := ann.group("Case", bob)

	check(t, "Bob adds Cy", bob.adds(group, cy), "NOT_IN_CONTACT_LIST")
	check(t, "Ann adds Cy", ann.adds(group, cy), "ADDED")
	cy.sends(group, "we share no room, Bob")
	check(t, "Bob knows the sender", bob.looksAt(group, "lastMessage { sender { name contact { email } } }").text("lastMessage.sender.name"), "Cy Fall")
	check(t, "but not the address", bob.looksAt(group, "lastMessage { sender { contact { email } } }").text("lastMessage.sender.contact"), "")
}

func TestS36S37S38E4E8E9E34ARemovedPersonHearsNothingMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob, cy)
	stream := cy.follows()
	ofGroup := cy.subscribes(cy.token, `subscription ($id: ID!) { messageAdded(conversationId: $id) { message { text kind } } }`, vars{"id": group})
	cy.at.streamsAre(w, 2)

	can := bob.looksAtGroup(group, "participants { nodes { user { name } viewerCanRemove } }")
	check(t, "whom Bob may remove", can.texts("participants.nodes", "viewerCanRemove"), "false, false, true")
	bob.isRefused("CANNOT_REMOVE_OWNER", "removeParticipant", vars{"conversationId": group, "userId": ann.id})
	bob.isRefused("USE_LEAVE_GROUP", "removeParticipant", vars{"conversationId": group, "userId": bob.id})
	bob.removes(group, cy)
	ann.sends(group, "now without Cy")

	check(t, "Cy hears", stream.hears(), "gone: You were removed from the group.")
	check(t, "the stream of the group ends with it", ofGroup.next("messageAdded").text("message.text"), "You were removed from the group.")
	if left := ofGroup.ends(); left != 0 {
		t.Errorf("%d more events came", left)
	}
	seen := cy.looksAt(group, `viewerMembership { state notice } viewerCanSend viewerCannotSendReason viewerCannot(action: SEND) { message } messages { nodes { text } }`)
	check(t, "state", seen.text("viewerMembership.state"), "REMOVED")
	check(t, "notice", seen.text("viewerMembership.notice"), "You were removed from the group.")
	check(t, "input", seen.text("viewerCannot.message"), "You cannot send chat to this group.")
	check(t, "reason", seen.text("viewerCannotSendReason"), "NOT_A_PARTICIPANT")
	check(t, "Cy reads", seen.texts("messages.nodes", "text"), "Ann Lee created the group., You were removed from the group.")
	check(t, "Ann reads", ann.reads(group), "You created the group., Bob Roy removed Cy Fall., now without Cy")
	bob.isRefused("NOT_A_PARTICIPANT", "removeParticipant", vars{"conversationId": group, "userId": cy.id})
	again := cy.subscribes(cy.token, `subscription ($id: ID!) { messageAdded(conversationId: $id) { message { text } } }`, vars{"id": group})
	again.ends()
	check(t, "a new stream of the group", again.failed.text("extensions.code"), "NOT_A_PARTICIPANT")
}

// A stream of the group that begins at the moment of the removal ends too: with the line that says so, or refused.
func TestE34AStreamThatBeginsWithTheRemovalEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, cy := people[0], people[2]
	for range 30 {
		group := ann.group("Case", people[1], cy)
		var removed sync.WaitGroup
		removed.Go(func() { ann.removes(group, cy) })
		stream := cy.subscribes(cy.token, `subscription ($id: ID!) { messageAdded(conversationId: $id) { message { text } } }`, vars{"id": group})
		removed.Wait()

		left := stream.ends()

		if code := stream.failed.text("extensions.code"); (code == "NOT_A_PARTICIPANT") != (left == 0) || left > 1 {
			t.Errorf("%d events came, and it ended with %q", left, code)
		}
	}
}

func TestS49S50S51S52S54WhoLeftKeepsAFrozenTranscript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr")
	ann, bob, cy, dee := people[0], people[1], people[2], people[3]
	group := ann.group("Case", bob, cy)
	ann.sends(group, "before")
	device := bob.follows()

	left := bob.did("leaveGroup", vars{"conversationId": group}, `group { viewerMembership { state leftAt notice } viewerCanSend viewerCannotSendReason viewerCannot(action: SEND) { message } viewerCanLeave viewerCanAddParticipants }`).at("group")

	check(t, "state", left.text("viewerMembership.state"), "LEFT")
	check(t, "notice", left.text("viewerMembership.notice"), "You left the group.")
	check(t, "the input", left.text("viewerCannot.message"), "You cannot send chat to this group.")
	check(t, "may", fmt.Sprint(left.yes("viewerCanSend"), left.yes("viewerCanLeave"), left.yes("viewerCanAddParticipants")), "false false false")
	check(t, "on another device", device.hears(), "gone: You left the group.")
	check(t, "sending", bob.isRefused("NOT_A_PARTICIPANT", "sendMessage", vars{"conversationId": group, "body": "still here?"}), "You cannot send chat to this group.")
	for _, mutation := range []string{"leaveGroup", "addParticipants", "removeParticipant", "renameGroup"} {
		bob.isRefused("NOT_A_PARTICIPANT", mutation, map[string]vars{
			"leaveGroup":        {"conversationId": group},
			"addParticipants":   {"conversationId": group, "userIds": []string{dee.id}},
			"removeParticipant": {"conversationId": group, "userId": cy.id},
			"renameGroup":       {"conversationId": group, "name": "x"},
		}[mutation])
	}

	// S53: and nothing of it reaches him.
	ann.sends(group, "after")
	ann.did("renameGroup", vars{"conversationId": group, "name": "Renamed"}, "")
	ann.adds(group, dee)
	ann.removes(group, cy)
	ann.did("transferOwnership", vars{"conversationId": group, "userId": dee.id}, "")
	frozen := bob.looksAtGroup(group, `name unreadCount lastActivityAt owner { name } participantCount participants { nodes { user { name } role } } lastMessage { text } messages { nodes { text } } viewerMembership { leftAt }`)
	check(t, "name", frozen.text("name"), "Case")
	check(t, "owner", frozen.text("owner.name"), "Ann Lee")
	check(t, "participants", frozen.texts("participants.nodes", "user.name"), "Ann Lee, Cy Fall")
	check(t, "roles", frozen.texts("participants.nodes", "role"), "OWNER, MEMBER")
	check(t, "count", frozen.text("participantCount"), "2")
	check(t, "last line", frozen.text("lastMessage.text"), "You left the group.")
	check(t, "unread", frozen.text("unreadCount"), "1")
	check(t, "transcript", frozen.texts("messages.nodes", "text"), "Ann Lee created the group., before, You left the group.")
	if frozen.text("lastActivityAt") > frozen.text("viewerMembership.leftAt") {
		t.Error("the list moves for who left")
	}
	check(t, "still listed", bob.lists("{}"), "Case")
	check(t, "searched by the old name", bob.finds("case")+"|"+bob.finds("renamed"), "Case|")
	check(t, "silence", fmt.Sprint(len(device.events)), "0")
}

// S53: whatever happens, nothing behind the leaving reaches the leaver, by any path.
func TestS53NothingBehindTheLeavingReachesTheLeaver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr")
	ann, bob := people[0], people[1]
	group := ann.group("Case", people[1:]...)
	random := rand.New(rand.NewPCG(5, 3))
	early := ann.sends(group, "word 0")
	stream := bob.follows()
	bob.leaves(group)
	check(t, "the last event", stream.hears(), "gone: You left the group.")
	last := bob.looksAt(group, "lastMessage { seq }").number("lastMessage.seq")
	var hidden []string
	for i := range 40 {
		switch random.IntN(5) {
		case 0, 1:
			hidden = append(hidden, ann.sends(group, fmt.Sprint("hidden ", i)))
		case 2:
			ann.did("renameGroup", vars{"conversationId": group, "name": fmt.Sprint("hidden ", i)}, "")
		case 3:
			ann.did("editMessage", vars{"messageId": early, "body": fmt.Sprint("hidden ", i)}, "")
		case 4:
			ann.removes(group, people[3])
			ann.adds(group, people[3])
		}
	}
	for _, answer := range []answer{
		bob.asks(`{ viewer { unreadConversationCount unreadMessageCount conversations(filter: {archived: null}) { nodes { id unreadCount lastActivityAt lastMessage { text seq }
			messages(first: 100) { nodes { text seq } } ... on GroupConversation { name participants { nodes { user { name } } } } } } } }`, nil),
		bob.asks(`query ($id: ID!) { node(id: $id) { ... on Conversation { messages(last: 100) { nodes { text seq } } } } }`, vars{"id": group}),
		bob.asks(`query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Message { text } } }`, vars{"ids": hidden}),
		bob.asks(`{ viewer { chatTargets(query: "hidden") { nodes { ... on GroupConversation { name } } } } }`, nil),
	} {
		if strings.Contains(answer.body, "hidden") {
			t.Errorf("it leaks: %s", answer.body)
		}
		for _, line := range answer.thing().list("node.messages.nodes") {
			if line.number("seq") > last {
				t.Errorf("line %d leaks", line.number("seq"))
			}
		}
	}
	for _, id := range hidden {
		bob.isRefused("NOT_FOUND", "markRead", vars{"messageId": id})
	}
	// The stream is silent, and so is one that resumes from before.
	ann.sends(ann.direct(bob), "sign")
	check(t, "next on the stream", stream.hears(), "Ann Lee: sign")
	check(t, "the edit is not seen", bob.reads(group), "Ann Lee created the group., word 0, You left the group.")
}

func TestS55E6E31E32WhoIsAddedAgainSeesNoneOfTheGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob, cy)
	ann.sends(group, "before")
	bob.mutes(group)
	bob.archives(group)
	bob.leaves(group)
	ann.sends(group, "meanwhile")
	stream := bob.follows()

	check(t, "any participant may", cy.adds(group, bob), "READDED")
	ann.sends(group, "after")

	check(t, "heard", stream.hears()+"; "+stream.hears(), "added to Case; Ann Lee: after")
	seen := bob.looksAt(group, `unreadCount viewerCanSend viewerMembership { state notice } viewerSettings { isMuted archivedAt } messages { nodes { text } }`)
	check(t, "reads", seen.texts("messages.nodes", "text"), "Ann Lee created the group., before, You left the group., Cy Fall added you., after")
	check(t, "unread", seen.text("unreadCount"), "2")
	check(t, "muted still, archived no more", seen.text("viewerSettings.isMuted")+" "+seen.text("viewerSettings.archivedAt"), "true ")
	check(t, "state", seen.text("viewerMembership.state")+seen.text("viewerMembership.notice"), "ACTIVE")
	bob.sends(group, "back again")
	// A stream from before the gap has none of it either.
	cy.removes(group, bob)
	ann.sends(group, "second gap")
	check(t, "added after a removal", ann.adds(group, bob), "READDED")
	check(t, "reads", bob.reads(group), "Ann Lee created the group., before, You left the group., Cy Fall added you., after, back again, You were removed from the group., Ann Lee added you.")
	check(t, "pages over the gaps", bob.looksAt(group, `messages(first: 3, after: "`+bob.looksAt(group, "messages(first: 2) { pageInfo { endCursor } }").text("messages.pageInfo.endCursor")+`") { nodes { text } }`).texts("messages.nodes", "text"), "You left the group., Cy Fall added you., after")
}

func TestE6E7WhoAddsMayRevealHistoryWhereTheClinicLetsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr", "Eve Fox")
	ann, bob, cy, dee, eve := people[0], people[1], people[2], people[3], people[4]
	group := ann.group("Case", bob)
	ann.sends(group, "one")
	two := ann.sends(group, "two")
	ann.isRefused("HISTORY_CHOICE_FORBIDDEN", "addParticipants", vars{"conversationId": group, "userIds": []string{cy.id}, "history": "ALL"})
	w.decides(func(p *chat.Policy) { p.HistoryChoice = true })

	ann.did("addParticipants", vars{"conversationId": group, "userIds": []string{cy.id}, "history": "ALL"}, "")
	ann.did("addParticipants", vars{"conversationId": group, "userIds": []string{dee.id}, "history": "SINCE", "sinceMessageId": two}, "")
	ann.adds(group, eve)

	check(t, "all", cy.reads(group), "Ann Lee created the group., one, two, Ann Lee added you., Ann Lee added Dee Orr., Ann Lee added Eve Fox.")
	check(t, "since", dee.reads(group), "two, Ann Lee added Cy Fall., Ann Lee added you., Ann Lee added Eve Fox.")
	check(t, "from now on", eve.reads(group), "Ann Lee added you.")
	check(t, "history is not unread", cy.looksAt(group, "unreadCount").text("unreadCount"), "0")
	ann.isRefused("INVALID", "addParticipants", vars{"conversationId": group, "userIds": []string{bob.id}, "history": "SINCE", "sinceMessageId": nil})
	// Nobody reveals what they do not see.
	bob.leaves(group)
	ann.sends(group, "three")
	eve.did("addParticipants", vars{"conversationId": group, "userIds": []string{bob.id}, "history": "ALL"}, "")
	check(t, "Bob sees what Eve sees", bob.reads(group), "Ann Lee created the group., one, two, Ann Lee added Cy Fall., Ann Lee added Dee Orr., Ann Lee added Eve Fox., You left the group., three, Eve Fox added you.")
	check(t, "a gap that is revealed is unread", bob.looksAt(group, "unreadCount").text("unreadCount"), "3")
	eve.isRefused("NOT_FOUND", "addParticipants", vars{"conversationId": group, "userIds": []string{cy.id}, "history": "SINCE", "sinceMessageId": two})
}

func TestE2TheOwnerLeavesInOneStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob, cy)
	eve := w.person("Eve Fox", "Front desk")
	bob.isRefused("NOT_GROUP_OWNER", "leaveGroup", vars{"conversationId": group, "successorId": cy.id})
	ann.isRefused("NOT_A_PARTICIPANT", "leaveGroup", vars{"conversationId": group, "successorId": eve.id})

	ann.did("leaveGroup", vars{"conversationId": group, "successorId": cy.id}, "")

	check(t, "the successor", bob.looksAtGroup(group, "owner { name }").text("owner.name"), "Cy Fall")
	check(t, "Ann reads", ann.reads(group), "You created the group., Cy Fall is now the group owner., You left the group.")
	cy.adds(group, ann)
	cy.leaves(group)
	check(t, "who has been in it longest", bob.looksAtGroup(group, "owner { name }").text("owner.name"), "Bob Roy")
	check(t, "Bob reads", bob.looksAt(group, "messages(last: 2) { nodes { text } }").texts("messages.nodes", "text"), "You are now the group owner., Cy Fall left the group.")
	ann.leaves(group)
	closed := bob.did("leaveGroup", vars{"conversationId": group}, "group { owner { name } messages(last: 1) { nodes { text } } }")
	check(t, "the last one out", closed.texts("group.messages.nodes", "text"), "You left the group.")
	check(t, "still there to read", cy.lists("{}"), "Case")
}

func TestE3AGroupOfADismissedOwnerGoesToTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob, cy)
	stream := cy.follows()

	ann.isDismissed()

	check(t, "owner", cy.looksAtGroup(group, "owner { name }").text("owner.name"), "Bob Roy")
	// Of the clinic's rooms and of the group, in whatever order.
	heard := []string{stream.hears(), stream.hears()}
	if all := strings.Join(heard, "; "); !strings.Contains(all, "Bob Roy is now the group owner.") || !strings.Contains(all, "ContactRemoved") {
		t.Errorf("Cy heard %s", all)
	}
	check(t, "Ann is shown as gone", cy.looksAtGroup(group, "participants { nodes { user { name isActive } } }").texts("participants.nodes", "user.isActive"), "false, true, true")
	bob.deletes(group)
}

func TestE5TheClinicMayLeaveParticipantsToTheOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr")
	ann, bob, cy, dee := people[0], people[1], people[2], people[3]
	group := ann.group("Case", bob, cy)
	check(t, "anybody may", bob.adds(group, dee), "ADDED")
	w.decides(func(p *chat.Policy) { p.ManageParticipants = chat.OwnerOnly })

	bob.isRefused("NOT_GROUP_OWNER", "removeParticipant", vars{"conversationId": group, "userId": dee.id})
	bob.isRefused("NOT_GROUP_OWNER", "addParticipants", vars{"conversationId": group, "userIds": []string{dee.id}})
	can := bob.looksAtGroup(group, "viewerCanAddParticipants viewerCanRemoveParticipants viewerCannot(action: ADD_PARTICIPANTS) { code } participants { nodes { viewerCanRemove } }")
	check(t, "Bob is told", can.text("viewerCanAddParticipants")+" "+can.text("viewerCanRemoveParticipants")+" "+can.text("viewerCannot.code"), "false false NOT_GROUP_OWNER")
	check(t, "of each", can.texts("participants.nodes", "viewerCanRemove"), "false, false, false, false")
	ann.removes(group, dee)
}

func TestE13WhoLeftTheRoomStaysInTheGroupUnlessTheClinicDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob, cy)

	bob.moves("Lab")

	bob.sends(group, "still with you")
	check(t, "the owner sees a marker", ann.looksAtGroup(group, "participants { nodes { sharesWaitingRoom } }").texts("participants.nodes", "sharesWaitingRoom"), "true, false, true")
	check(t, "adds from his own contacts", bob.adds(group, w.person("Dee Orr", "Lab")), "ADDED")
	other := ann.group("Other", cy)
	w.decides(func(p *chat.Policy) { p.RemoveOnRoomExit = true })
	cy.moves("X-ray")
	check(t, "removed", cy.looksAt(other, "viewerMembership { state notice }").text("viewerMembership.notice"), "You were removed from the group.")
	check(t, "by the clinic", ann.looksAt(other, "lastMessage { text sender { name } }").text("lastMessage.text"), "The clinic removed Cy Fall.")
}

func TestOwnershipIsHandedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob)
	bob.isRefused("NOT_GROUP_OWNER", "transferOwnership", vars{"conversationId": group, "userId": bob.id})
	ann.isRefused("NOT_A_PARTICIPANT", "transferOwnership", vars{"conversationId": group, "userId": cy.id})

	ann.did("transferOwnership", vars{"conversationId": group, "userId": bob.id}, "")

	check(t, "Ann", ann.looksAtGroup(group, "owner { name } viewerCanDelete").text("owner.name"), "Bob Roy")
	check(t, "Bob reads", bob.reads(group), "Ann Lee created the group., You are now the group owner.")
	bob.deletes(group)
}

func TestE3AGroupFindsAnOwnerWhenSomebodyIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	bob.isDismissed()
	ann.isDismissed()

	w.clinics[home][bob.email] = bob
	w.importRoster(home)

	check(t, "owner", bob.looksAtGroup(group, "owner { name }").text("owner.name"), "Bob Roy")
	bob.deletes(group)
}

func TestE2AGroupIsNotClosedOverSomebodyWhoMayComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	bob.isDismissed()
	ann.leaves(group)

	w.clinics[home][bob.email] = bob
	w.importRoster(home)

	seen := bob.looksAtGroup(group, "owner { name } viewerCanSend viewerMembership { state }")
	check(t, "owner", seen.text("owner.name"), "Bob Roy")
	check(t, "may send", seen.text("viewerCanSend"), "true")
}

// E6: what is revealed is all that whoever adds the person sees without a gap, also before what
// that person saw already.
func TestE6RevealedHistoryReachesBehindWhatWasSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr")
	ann, bob, cy, dee := people[0], people[1], people[2], people[3]
	w.decides(func(p *chat.Policy) { p.HistoryChoice = true })
	group := ann.group("Case", bob)
	ann.sends(group, "one")
	ann.adds(group, cy)
	ann.removes(group, cy)
	bob.leaves(group)
	ann.sends(group, "two")
	all := vars{"conversationId": group, "history": "ALL"}
	for _, p := range []*person{cy, bob} {
		all["userIds"], all["clientKey"] = []string{p.id}, newKey()
		ann.did("addParticipants", all, "")
	}

	check(t, "Cy reads", strings.Contains(cy.reads(group), "one, ") && strings.Contains(cy.reads(group), "two"), true)
	all["userIds"], all["clientKey"] = []string{dee.id}, newKey()
	bob.did("addParticipants", all, "")
	check(t, "Dee reads what Bob sees", strings.Contains(dee.reads(group), "one, ") && strings.Contains(dee.reads(group), "two"), true)
}
