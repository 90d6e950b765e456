package graph_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"corridor/internal/chat"
)

func TestS23AMessageIsHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	stream := bob.follows()

	ann.sends(group, "the scan is in")

	check(t, "Bob hears", stream.hears(), "Ann Lee: the scan is in")
	check(t, "Bob reads", bob.reads(group), "Ann Lee created the group., the scan is in")
}

func TestS23TextsOfEveryScriptArriveAsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	conversation := ann.direct(bob)
	stream := bob.follows()
	for _, text := range []string{
		"two\nlines\tand a tab", "👩🏽‍⚕️ 🇺🇦 ❤️", "עברית مع العربية", "ภาษาไทย", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", `"quoted" \n <b>&amp;</b> ' ; DROP TABLE messages; --`,
		strings.Repeat("😀", 10_000), " spaces around ", "\u202etfel ot thgir\u202c",
	} {
		ann.sends(conversation, text)
		check(t, "text", stream.hears(), "Ann Lee: "+text)
	}
	ann.sends(conversation, "e\u0301")
	check(t, "in NFC", stream.hears(), "Ann Lee: \u00e9")
	ann.sends(conversation, "a\r\nb")
	check(t, "line ends", stream.hears(), "Ann Lee: a\nb")
	for what, text := range map[string]string{
		"empty": "", "blank": " \n\t ", "invisible": "\u200b\u2060", "too long": strings.Repeat("x", 10_001), "a zero byte": "a\x00b", "an escape": "a\x1b[31mb",
		"a lone return": "a\rb",
	} {
		payload := ann.does("sendMessage", vars{"conversationId": conversation, "body": text}, "")
		check(t, what, payload.text("userErrors.0.code")+" "+payload.text("userErrors.0.field.0"), "INVALID body")
	}
}

func TestS25S26E20TheServerDecidesHowAMessageIsFelt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob)
	theirs, own := bob.follows(), ann.follows()
	message := ann.sends(group, "news")

	heard := theirs.event()
	check(t, "to others", heard.text("notify.popup")+" "+heard.text("notify.sound"), "true true")
	mine := own.event()
	check(t, "to oneself", mine.text("notify.popup")+" "+mine.text("notify.sound"), "false false")
	ann.adds(group, cy)
	line := theirs.event()
	check(t, "a system line", line.text("message.text")+" "+line.text("notify.popup"), "Ann Lee added Cy Fall. false")
	// What was read elsewhere does not pop up when an old stream resumes.
	cursor := theirs.cursor
	second := ann.sends(group, "read elsewhere")
	bob.did("markRead", vars{"messageId": message}, "")
	bob.did("markRead", vars{"messageId": second}, "")
	resumed := bob.followsFrom(cursor)
	replayed := resumed.event()
	for replayed.text("__typename") != "MessageAdded" {
		replayed = resumed.event()
	}
	check(t, "read before", replayed.text("message.text")+" "+replayed.text("notify.popup"), "read elsewhere false")
}

func TestE36EveryMutationRepeatsItsFirstAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr")
	ann, bob, cy, dee := people[0], people[1], people[2], people[3]
	group := ann.group("Case", bob, cy)
	message := ann.sends(group, "news")
	stream := bob.follows()
	for _, act := range []struct {
		mutation, selection string
		input               vars
	}{
		{"startDirectConversation", "conversation { id }", vars{"userId": dee.id}},
		{"createGroup", "group { id }", vars{"name": "Other", "userIds": []string{bob.id}}},
		{"sendMessage", "message { id }", vars{"conversationId": group, "body": "once"}},
		{"editMessage", "message { text }", vars{"messageId": message, "body": "edited once"}},
		{"renameGroup", "group { name }", vars{"conversationId": group, "name": "Once"}},
		{"addParticipants", "outcomes { userId outcome }", vars{"conversationId": group, "userIds": []string{dee.id, bob.id}}},
		{"removeParticipant", "group { participantCount }", vars{"conversationId": group, "userId": dee.id}},
		{"muteConversation", "conversation { viewerSettings { isMuted } }", vars{"conversationId": group}},
		{"archiveConversation", "conversation { id }", vars{"conversationId": group}},
		{"unarchiveConversation", "conversation { id }", vars{"conversationId": group}},
		{"unmuteConversation", "conversation { id }", vars{"conversationId": group}},
		{"recallMessage", "message { text }", vars{"messageId": message}},
		{"transferOwnership", "group { owner { name } }", vars{"conversationId": group, "userId": cy.id}},
		{"leaveGroup", "group { viewerMembership { state } }", vars{"conversationId": group}},
	} {
		act.input["clientKey"] = "key of " + act.mutation
		first, again := ann.did(act.mutation, act.input, act.selection), ann.did(act.mutation, act.input, act.selection)
		check(t, act.mutation, fmt.Sprint(again.value), fmt.Sprint(first.value))
		ann.isRefused("CLIENT_KEY_CONFLICT", "createGroup", vars{"clientKey": "key of " + act.mutation, "name": "Another", "userIds": []string{bob.id, cy.id}})
	}
	cy.did("deleteGroup", vars{"clientKey": "key of deleteGroup", "conversationId": group}, "")
	check(t, "deleteGroup", cy.did("deleteGroup", vars{"clientKey": "key of deleteGroup", "conversationId": group}, "deletedConversationId").text("deletedConversationId"), group)
	var heard []string
	for last := ""; last != "deleted"; heard = append(heard, last) {
		last = stream.hears()
	}
	if n := strings.Count(strings.Join(heard, "\n"), "once"); n > 1 {
		t.Errorf("repeated calls were heard: %v", heard)
	}
	for _, key := range []string{"", strings.Repeat("x", 101), "a\nb"} {
		ann.isRefused("INVALID", "createGroup", vars{"clientKey": key, "name": "Other", "userIds": []string{bob.id}})
	}
	// A call that failed leaves its key unused.
	ann.isRefused("INVALID", "createGroup", vars{"clientKey": "second try", "name": "", "userIds": []string{bob.id}})
	ann.did("createGroup", vars{"clientKey": "second try", "name": "Other", "userIds": []string{bob.id}}, "")
}

func TestE11WhoLeftKeepsTheWordingButNotWhatWasRecalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob, cy)
	edited, recalled := ann.sends(group, "first wording"), ann.sends(group, "wrong chart")
	ann.did("editMessage", vars{"messageId": edited, "body": "second wording"}, "message { text editedAt }")
	bob.leaves(group)
	stream, still := bob.follows(), cy.follows()

	ann.did("editMessage", vars{"messageId": edited, "body": "third wording"}, "")
	ann.did("recallMessage", vars{"messageId": recalled}, "message { text recalledAt }")

	check(t, "Bob reads", bob.reads(group), "Ann Lee created the group., second wording, , You left the group.")
	check(t, "Cy reads", cy.reads(group), "Ann Lee created the group., third wording, , Bob Roy left the group.")
	check(t, "Cy hears", still.event().text("message.text"), "third wording")
	check(t, "Bob hears of the recall only", stream.event().text("message.id"), recalled)
	cy.isRefused("NOT_THE_SENDER", "editMessage", vars{"messageId": edited, "body": "mine"})
	cy.isRefused("NOT_THE_SENDER", "recallMessage", vars{"messageId": edited})
	bob.isRefused("NOT_THE_SENDER", "recallMessage", vars{"messageId": edited})
	ann.isRefused("MESSAGE_RECALLED", "editMessage", vars{"messageId": recalled, "body": "again"})
	ann.isRefused("INVALID", "editMessage", vars{"messageId": edited, "body": " "})
	ann.leaves(group)
	ann.isRefused("NOT_A_PARTICIPANT", "editMessage", vars{"messageId": edited, "body": "from outside"})
}

// Who resumes hears a line that was edited since as they may see it, and no client key but their own.
func TestE11ALineThatWasEditedIsHeardAsItsReaderMaySeeIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob, cy)
	gone, here := bob.follows(), cy.follows()
	const keys = `subscription { events { ... on MessageAdded { message { text clientKey } } } }`
	own, foreign := ann.subscribes(ann.token, keys, nil), cy.subscribes(cy.token, keys, nil)
	own.next("events")
	foreign.next("events")

	edited := ann.did("sendMessage", vars{"clientKey": "Ann's own", "conversationId": group, "body": "first wording"}, "message { id }").text("message.id")

	check(t, "Ann sees her key", own.next("events").text("message.clientKey"), "Ann's own")
	check(t, "Cy sees none", foreign.next("events").text("message.clientKey"), "")
	check(t, "Bob hears", gone.hears(), "Ann Lee: first wording")
	check(t, "Cy hears", here.hears(), "Ann Lee: first wording")
	before := []string{gone.cursor, here.cursor}
	gone.drops()
	here.drops()
	second := ann.sends(group, "second line")
	bob.leaves(group)
	ann.did("editMessage", vars{"messageId": second, "body": "of no concern to Bob"}, "")
	ann.did("editMessage", vars{"messageId": edited, "body": "of no concern either"}, "")
	check(t, "Bob resumes", bob.followsFrom(before[0]).hears(), "Ann Lee: second line")
	check(t, "Cy resumes", cy.followsFrom(before[1]).hears(), "Ann Lee: of no concern to Bob")
}

func TestE44ARecalledMessageIsNotUnread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	first := ann.sends(group, "one")
	second := ann.sends(group, "two")
	third := ann.sends(group, "three")
	unread := func() string {
		seen := bob.sees(`query ($id: ID!) { node(id: $id) { ... on Conversation { unreadCount } } viewer { unreadMessageCount } }`, vars{"id": group})
		return seen.text("node.unreadCount") + " " + seen.text("viewer.unreadMessageCount")
	}
	check(t, "at first", unread(), "3 3")

	ann.did("recallMessage", vars{"messageId": second}, "")

	check(t, "recalled", unread(), "2 2")
	bob.did("markRead", vars{"messageId": first}, "")
	check(t, "one read", unread(), "1 1")
	ann.did("recallMessage", vars{"messageId": first}, "")
	check(t, "a read one recalled", unread(), "1 1")
	bob.did("markRead", vars{"messageId": third}, "")
	bob.did("markRead", vars{"messageId": first}, "")
	check(t, "never back", unread(), "0 0")
}

// E43: seq is the order; times are for people.
func TestE43LinesAreInTheOrderOfSeq(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann := people[0]
	group := ann.group("Case", people[1:]...)
	var acts []func() string
	for _, p := range people {
		for range 5 {
			acts = append(acts, func() string { return p.sends(group, "at once") })
		}
	}
	race(acts...)
	last := 0
	for _, line := range ann.looksAt(group, "messages(first: 100) { nodes { seq } }").list("messages.nodes") {
		if line.number("seq") <= last {
			t.Errorf("line %d comes after %d", line.number("seq"), last)
		}
		last = line.number("seq")
	}
}

func TestE12ADirectConversationOutlivesTheSharedRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	conversation := ann.direct(bob)
	ann.sends(conversation, "hello")

	bob.moves("Lab")
	cy.moves("Lab")

	ann.sends(conversation, "about the handover")
	check(t, "New Chat still finds the thread", ann.finds("bob"), "Bob Roy")
	check(t, "but not who has none", ann.finds("cy"), "")
	check(t, "and opens it", ann.direct(bob), conversation)
	ann.isRefused("NOT_IN_CONTACT_LIST", "startDirectConversation", vars{"userId": cy.id})
	w.decides(func(p *chat.Policy) { p.StrictDirect = true })
	ann.isRefused("OUTSIDE_WAITING_ROOM", "sendMessage", vars{"conversationId": conversation, "body": "strictly"})
	check(t, "the banner", ann.looksAt(conversation, "viewerCannotSendReason").text("viewerCannotSendReason"), "OUTSIDE_WAITING_ROOM")
	check(t, "the history stays", bob.reads(conversation), "hello, about the handover")
	bob.moves("Front desk")
	bob.sends(conversation, "back")
	bob.isDismissed()
	ann.isRefused("PERSON_UNAVAILABLE", "sendMessage", vars{"conversationId": conversation, "body": "are you there?"})
	check(t, "still there to read", ann.reads(conversation), "hello, about the handover, back")
}

// E11: of a message that somebody never saw they do not hear that it changed.
func TestE11ChangesOfWhatIsHiddenAreNotHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob)
	hidden := ann.sends(group, "before Cy")
	ann.adds(group, cy)
	stream := cy.follows()

	ann.did("editMessage", vars{"messageId": hidden, "body": "edited"}, "")
	ann.did("recallMessage", vars{"messageId": hidden}, "")
	ann.sends(group, "sign")

	check(t, "Cy hears", stream.hears(), "Ann Lee: sign")
	// Who left keeps the time of the wording they knew, too.
	seen := ann.sends(group, "first wording")
	ann.did("editMessage", vars{"messageId": seen, "body": "second wording"}, "")
	edited := bob.looksAt(group, "lastMessage { text editedAt }").text("lastMessage.editedAt")
	bob.leaves(group)
	ann.did("editMessage", vars{"messageId": seen, "body": "third wording"}, "")
	known := bob.looksAt(group, "messages(last: 2) { nodes { text editedAt } }").at("messages.nodes.0")
	check(t, "Bob knows", known.text("text")+known.text("editedAt"), "second wording"+edited)
	// Whoever left can still take back what they sent.
	ann.leaves(group)
	ann.did("recallMessage", vars{"messageId": seen}, "")
	check(t, "recalled", bob.reads(group), "Ann Lee created the group., , Ann Lee added Cy Fall., sign, , You left the group.")
}

func TestMutationsOfOneOperationSeeEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)

	both := ann.sees(`mutation ($id: ID!) {
		a: sendMessage(input: {clientKey: "a", conversationId: $id, body: "first"}) { message { conversation { lastMessage { text } } } }
		b: sendMessage(input: {clientKey: "b", conversationId: $id, body: "second"}) { message { conversation { lastMessage { text } } } }
	}`, vars{"id": group})

	check(t, "a", both.text("a.message.conversation.lastMessage.text"), "first")
	check(t, "b", both.text("b.message.conversation.lastMessage.text"), "second")
}

func TestABadArgumentSpoilsNoOtherField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	first, second := ann.group("First", bob), ann.group("Second", bob)

	got := ann.asks(`query ($a: ID!, $b: ID!) {
		a: node(id: $a) { ... on GroupConversation { participants { nodes { user { name } } } } }
		b: node(id: $b) { ... on GroupConversation { participants(first: 101) { nodes { user { name } } } } }
	}`, vars{"a": first, "b": second})

	check(t, "code", got.code(), "INVALID")
	check(t, "a", got.thing().texts("a.participants.nodes", "user.name"), "Ann Lee, Bob Roy")
	for what, refused := range map[string]answer{
		"an empty cursor":      ann.asks(`{ viewer { contacts(after: "") { nodes { name } } } }`, nil),
		"an object as cursor":  ann.asks(`{ viewer { contacts(after: {a: 1}) { nodes { name } } } }`, nil),
		"a time beyond bounds": ann.asks(`query ($after: Cursor) { viewer { conversations(after: $after) { nodes { id } } } }`, vars{"after": chat.Cursor([]string{"9223372036854775807", ann.userID.String()})}),
	} {
		check(t, what, refused.code(), "CURSOR_INVALID")
	}
	odd := vars{"clientKey": "odd", "conversationId": first, "until": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05") + "Z"}
	ann.did("muteConversation", odd, "")
	odd["until"] = strings.TrimSuffix(odd["until"].(string), "Z") + ".000+00:00"
	ann.did("muteConversation", odd, "")
}
