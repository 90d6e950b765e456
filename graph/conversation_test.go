package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"corridor/internal/chat"
)

func TestS9TheViewerIsNamedWithABadge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	conversation := ann.direct(bob)
	ann.sends(conversation, "one")
	ann.sends(conversation, "two")

	viewer := bob.sees(`{ viewer { name email unreadConversationCount unreadMessageCount user { isViewer } clinic { name supportContact } } }`, nil).at("viewer")

	check(t, "name", viewer.text("name"), "Bob Roy")
	check(t, "email", viewer.text("email"), "bob.roy@lakeside.example")
	check(t, "conversations", viewer.text("unreadConversationCount"), "1")
	check(t, "messages", viewer.text("unreadMessageCount"), "2")
	check(t, "is the viewer", viewer.text("user.isViewer"), "true")
	check(t, "sender's badge", ann.sees(`{ viewer { unreadConversationCount } }`, nil).text("viewer.unreadConversationCount"), "0")
}

func TestS1S11TheListIsRecentFirstWithWhatARowShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob)
	direct := ann.direct(cy)
	check(t, "an empty conversation is not listed", ann.lists("{}"), "Case")
	cy.sends(cy.direct(ann), "hi Ann")
	check(t, "recent first", ann.lists("{}"), "Cy Fall, Case")
	bob.sends(group, "news of the case")
	check(t, "a message moves it up", ann.lists("{}"), "Case, Cy Fall")
	ann.mutes(group)

	row := ann.sees(`{ viewer { conversations { nodes { id unreadCount lastActivityAt lastMessage { text sender { name } } viewerSettings { isMuted } } eventCursor } } }`, nil)

	check(t, "preview", row.text("viewer.conversations.nodes.0.lastMessage.sender.name")+": "+row.text("viewer.conversations.nodes.0.lastMessage.text"), "Bob Roy: news of the case")
	check(t, "unread", row.text("viewer.conversations.nodes.0.unreadCount"), "1")
	check(t, "muted", row.text("viewer.conversations.nodes.0.viewerSettings.isMuted"), "true")
	check(t, "direct", row.text("viewer.conversations.nodes.1.id"), direct)
	for filter, want := range map[string]string{
		`{kind: DIRECT}`: "Cy Fall", `{kind: GROUP}`: "Case", `{unread: false}`: "", `{unread: true}`: "Case, Cy Fall", `{archived: true}`: "", `{archived: null}`: "Case, Cy Fall",
	} {
		check(t, filter, ann.lists(filter), want)
	}
}

// S11: what is missing between a list and the stream from its cursor would be missing for ever.
func TestS11NothingFallsBetweenTheListAndItsStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	for i := range 20 {
		ann.sends(group, fmt.Sprint("before ", i))
		list := bob.sees(`{ viewer { conversations { eventCursor nodes { lastMessage { text } } } } }`, nil)
		check(t, "listed", list.text("viewer.conversations.nodes.0.lastMessage.text"), fmt.Sprint("before ", i))
		ann.sends(group, fmt.Sprint("after ", i))

		stream := bob.followsFrom(list.text("viewer.conversations.eventCursor"))

		check(t, "heard", stream.hears(), fmt.Sprint("Ann Lee: after ", i))
		stream.drops()
	}
}

func TestS12S13AConversationOpensAtItsNewestAndPagesBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	conversation := ann.direct(bob)
	for i := range 30 {
		ann.sends(conversation, fmt.Sprintf("%02d", i))
	}
	page := func(arguments string) thing {
		return bob.looksAt(conversation, "messages"+arguments+" { nodes { text cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }").at("messages")
	}
	newest := page("(last: 10)")
	check(t, "newest", newest.text("nodes.0.text")+" to "+newest.text("nodes.9.text"), "20 to 29")
	bob.sends(conversation, "meanwhile")
	before := page(`(last: 10, before: "` + newest.text("pageInfo.startCursor") + `")`)
	check(t, "before", before.text("nodes.0.text")+" to "+before.text("nodes.9.text"), "10 to 19")
	check(t, "more before", before.text("pageInfo.hasPreviousPage"), "true")
	after := page(`(first: 3, after: "` + before.text("nodes.4.cursor") + `")`)
	check(t, "after", after.texts("nodes", "text"), "15, 16, 17")
	last := page(`(first: 100, after: "` + newest.text("nodes.9.cursor") + `")`)
	check(t, "stable while messages arrive", last.texts("nodes", "text"), "meanwhile")
	check(t, "no more", last.text("pageInfo.hasNextPage"), "false")
	between := page(`(first: 100, after: "` + newest.text("nodes.0.cursor") + `", before: "` + newest.text("nodes.3.cursor") + `")`)
	check(t, "between", between.texts("nodes", "text"), "21, 22")
	check(t, "the default", page("").text("nodes.0.text"), "11")
	other := ann.group("Other", bob)
	for arguments, code := range map[string]string{
		`(first: 1, last: 1)`: "INVALID", `(first: 101)`: "INVALID", `(last: -1)`: "INVALID", `(after: "x")`: "CURSOR_INVALID",
		`(after: "` + ann.looksAt(other, "messages { nodes { cursor } }").text("messages.nodes.0.cursor") + `")`: "CURSOR_INVALID",
	} {
		got := bob.asks(`query ($id: ID!) { node(id: $id) { ... on Conversation { messages`+arguments+` { nodes { text } } } } }`, vars{"id": conversation})
		check(t, arguments, got.code(), code)
	}
	read := bob.did("markRead", vars{"messageId": bob.looksAt(conversation, "messages(first: 5) { nodes { id } }").text("messages.nodes.4.id")}, "conversation { viewerReadCursor }")
	check(t, "the read position does not go back", page(`(first: 1, after: "`+read.text("conversation.viewerReadCursor")+`")`).texts("nodes", "text"), "")
	fresh := ann.looksAt(conversation, "viewerReadCursor unreadCount")
	check(t, "unread", fresh.text("unreadCount"), "1")
	unread := ann.looksAt(conversation, `messages(first: 9, after: "`+fresh.text("viewerReadCursor")+`") { nodes { text } }`)
	check(t, "first unread", unread.texts("messages.nodes", "text"), "meanwhile")
}

func TestS20S21S62ADirectConversationIsOneAndStaysIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	conversation := ann.direct(bob)
	ann.sends(conversation, "hello")

	again := bob.did("startDirectConversation", vars{"userId": ann.id},
		"conversation { id peer { name } messages { nodes { text } } viewerCanLeave viewerCanDelete viewerCanMute viewerCanArchive viewerCanAddParticipants viewerCannot(action: LEAVE) { code } }").at("conversation")

	check(t, "the same", again.text("id"), conversation)
	check(t, "with its history", again.texts("messages.nodes", "text"), "hello")
	check(t, "may", fmt.Sprint(again.yes("viewerCanLeave"), again.yes("viewerCanDelete"), again.yes("viewerCanMute"), again.yes("viewerCanArchive"), again.yes("viewerCanAddParticipants")), "false false true true false")
	check(t, "why not", again.text("viewerCannot.code"), "GROUP_ONLY")
	for _, mutation := range []string{"leaveGroup", "deleteGroup", "renameGroup", "addParticipants", "removeParticipant", "transferOwnership"} {
		input := vars{"conversationId": conversation}
		switch mutation {
		case "renameGroup":
			input["name"] = "x"
		case "addParticipants":
			input["userIds"] = []string{bob.id}
		case "removeParticipant", "transferOwnership":
			input["userId"] = bob.id
		}
		ann.isRefused("GROUP_ONLY", mutation, input)
	}
}

func TestE1S61AGroupIsMadeOfContactsAndOwned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	eve := w.person("Eve Fox", "Lab")

	group := ann.did("createGroup", vars{"name": "  Flu season ", "userIds": ids([]*person{bob, cy, bob})},
		"group { id name owner { name } participantCount participants { nodes { role user { name } } } lastMessage { text } }").at("group")

	check(t, "name", group.text("name"), "Flu season")
	check(t, "owner", group.text("owner.name"), "Ann Lee")
	check(t, "people", group.texts("participants.nodes", "user.name"), "Ann Lee, Bob Roy, Cy Fall")
	check(t, "roles", group.texts("participants.nodes", "role"), "OWNER, MEMBER, MEMBER")
	check(t, "count", group.text("participantCount"), "3")
	check(t, "first line", bob.reads(group.text("id")), "Ann Lee created the group.")
	for _, name := range []string{"", "  ", "\u200b", "two\nlines", strings.Repeat("x", 101)} {
		ann.isRefused("INVALID", "createGroup", vars{"name": name, "userIds": []string{bob.id}})
	}
	ann.isRefused("INVALID", "createGroup", vars{"name": "Alone", "userIds": []string{}})
	ann.isRefused("NOT_IN_CONTACT_LIST", "createGroup", vars{"name": "Outside", "userIds": []string{bob.id, eve.id}})
	ann.isRefused("NOT_IN_CONTACT_LIST", "createGroup", vars{"name": "Oneself", "userIds": []string{ann.id}})
	check(t, "nothing was made", ann.lists("{}"), "Flu season")
}

func TestE25E26GroupsAreTheirIdNotTheirPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	direct := ann.direct(bob)
	ann.sends(direct, "direct")

	first, second := ann.group("Case", bob, cy), ann.group("Case", bob, cy)

	if first == second {
		t.Error("two groups of the same name and people are one")
	}
	ann.removes(first, cy)
	ann.sends(first, "just the two of us")
	check(t, "direct", bob.reads(direct), "direct")
	bob.leaves(first)
	ann.sends(first, "alone")
	check(t, "alone", ann.looksAtGroup(first, "participantCount owner { name }").text("participantCount"), "1")
}

func TestE29TheOwnerRenamesUnlessAllMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	stream := bob.follows()

	bob.isRefused("NOT_GROUP_OWNER", "renameGroup", vars{"conversationId": group, "name": "Mine"})
	ann.did("renameGroup", vars{"conversationId": group, "name": "Case 7"}, "")

	check(t, "Bob hears", stream.hears(), "Ann Lee renamed the group to Case 7.")
	check(t, "found by the new name", bob.finds("case 7"), "Case 7")
	w.decides(func(p *chat.Policy) { p.RenameGroup = chat.AnyParticipant })
	bob.did("renameGroup", vars{"conversationId": group, "name": "Case 8"}, "")
	check(t, "Ann reads", ann.reads(group), "You created the group., You renamed the group to Case 7., Bob Roy renamed the group to Case 8.")
}

func TestE27S20TwoPeopleStartTheSameConversationAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr")
	for _, a := range people {
		for _, b := range people {
			if a.id >= b.id {
				continue
			}
			started := race(
				func() string { return a.direct(b) }, func() string { return b.direct(a) },
				func() string { return a.direct(b) }, func() string { return b.direct(a) })
			for _, id := range started {
				check(t, "one conversation", id, started[0])
			}
		}
	}
}

func TestS56S57S58S59S60E23E24ADeletedGroupIsGoneForEverybody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr", "Eve Fox")
	ann, bob, cy, dee, eve := people[0], people[1], people[2], people[3], people[4]
	group := ann.group("Case", bob, cy, dee)
	message := ann.sends(group, "secret of the case")
	cy.leaves(group)
	offline := dee.follows()
	offline.drops()
	online, second, leaver := bob.follows(), bob.follows(), cy.follows()
	only := bob.subscribes(bob.token, `subscription { groupDeleted { conversationId } }`, nil)
	ofGroup := bob.subscribes(bob.token, `subscription ($id: ID!) { messageAdded(conversationId: $id) { message { text } } }`, vars{"id": group})
	bob.at.streamsAre(w, 5)

	check(t, "others may not", fmt.Sprint(bob.looksAt(group, "viewerCanDelete").yes("viewerCanDelete"), ann.looksAt(group, "viewerCanDelete").yes("viewerCanDelete")), "false true")
	check(t, "a participant", bob.isRefused("NOT_GROUP_OWNER", "deleteGroup", vars{"conversationId": group}), "Only the group owner can delete a group chat.")
	cy.isRefused("NOT_GROUP_OWNER", "deleteGroup", vars{"conversationId": group})
	eve.isRefused("NOT_FOUND", "deleteGroup", vars{"conversationId": group})
	gone := ann.did("deleteGroup", vars{"conversationId": group}, "deletedConversationId")

	check(t, "which", gone.text("deletedConversationId"), group)
	for who, stream := range map[string]*stream{"online": online, "second tab": second, "left member": leaver} {
		check(t, who, stream.hears(), "deleted")
	}
	check(t, "groupDeleted", only.next("groupDeleted").text("conversationId"), group)
	ofGroup.ends()
	check(t, "offline, then back", dee.followsFrom(offline.cursor).hears(), "deleted")
	for _, p := range []*person{ann, bob, cy, dee, eve} {
		check(t, p.name+" lists", p.lists("{archived: null}"), "")
		check(t, p.name+" finds", p.finds("case"), "")
		nodes := p.sees(`query ($ids: [ID!]!) { nodes(ids: $ids) { id } }`, vars{"ids": []string{group, message}})
		check(t, p.name+" fetches", fmt.Sprint(nodes.at("nodes").value), "[<nil> <nil>]")
	}
	check(t, "a late send", bob.isRefused("CONVERSATION_DELETED", "sendMessage", vars{"conversationId": group, "body": "too late"}), "This group was deleted.")
	cy.isRefused("CONVERSATION_DELETED", "archiveConversation", vars{"conversationId": group})
	eve.isRefused("NOT_FOUND", "sendMessage", vars{"conversationId": group, "body": "was there one?"})
}

func TestE22TheContentOfADeletedGroupIsPurgedAfterItsRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	ann.sends(group, "secret")
	ann.deletes(group)
	kept := func() (n int) {
		if err := w.database.Open().Get(&n, `SELECT count(*) FROM messages`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	purge := func(want int64) {
		t.Helper()
		if purged, err := w.instances[0].chat.Purge(t.Context()); err != nil || purged != want {
			t.Errorf("purged %d, %v, want %d", purged, err, want)
		}
	}

	purge(0)
	w.decides(func(p *chat.Policy) { p.RetentionDays, p.LegalHold = 0, true })
	purge(0)
	if kept() == 0 {
		t.Error("the content went before its time")
	}
	w.decides(func(p *chat.Policy) { p.LegalHold = false })
	purge(1)
	if n := kept(); n != 0 {
		t.Errorf("%d lines were kept", n)
	}
	purge(0)
}

func TestS63TheClinicNamesItsHelp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")

	w.decides(func(p *chat.Policy) { p.SupportContact = "help@lakeside.example" })

	check(t, "help", ann.sees(`{ viewer { clinic { supportContact } } }`, nil).text("viewer.clinic.supportContact"), "help@lakeside.example")
}
