package graph_test

import (
	"testing"
	"time"

	"corridor/internal/chat"
)

func TestS39S40S41S42S43S44S45AMutedConversationIsSilentAndStillArrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	for _, conversation := range []string{ann.group("Case", bob), ann.direct(bob)} {
		ann.sends(conversation, "aloud")
		stream := bob.follows()
		ann.sends(conversation, "aloud again")
		if aloud := stream.event(); !aloud.yes("notify.popup") || !aloud.yes("notify.sound") {
			t.Errorf("a message is not felt: %v", aloud.value)
		}

		muted := bob.did("muteConversation", vars{"conversationId": conversation}, "conversation { viewerCanMute viewerSettings { isMuted mutedUntil } }")

		check(t, "at once", muted.text("conversation.viewerSettings.isMuted")+muted.text("conversation.viewerSettings.mutedUntil"), "true")
		check(t, "the bell on other devices", stream.event().text("conversation.viewerSettings.isMuted"), "true")
		ann.sends(conversation, "silently")
		silent := stream.event()
		check(t, "it arrives", silent.text("message.text"), "silently")
		if silent.yes("notify.popup") || silent.yes("notify.sound") {
			t.Errorf("a muted message is felt: %v", silent.value)
		}
		bob.mutes(conversation)
		bob.did("unmuteConversation", vars{"conversationId": conversation}, "")
		check(t, "unmuted on other devices", stream.event().text("conversation.viewerSettings.isMuted"), "false")
		ann.sends(conversation, "aloud once more")
		check(t, "felt again", stream.event().text("notify.sound"), "true")
		stream.drops()
	}
}

func TestE17AMentionDoesNotBreakAMute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	bob.mutes(group)
	stream := bob.follows()

	ann.sends(group, "@Bob Roy please look")

	check(t, "felt", stream.event().text("notify.popup"), "false")
	check(t, "the row counts it", bob.looksAt(group, "unreadCount").text("unreadCount"), "1")
	check(t, "the bubble does not", bob.sees(`{ viewer { unreadConversationCount } }`, nil).text("viewer.unreadConversationCount"), "0")
}

func TestE18AMuteMayEndByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)

	muted := bob.did("muteConversation", vars{"conversationId": group, "until": until}, "conversation { viewerSettings { isMuted mutedUntil } }")

	check(t, "until", muted.text("conversation.viewerSettings.mutedUntil"), until.Format("2006-01-02T15:04:05.000000Z"))
	if _, err := w.database.Open().Exec(`UPDATE participants SET muted_until = now() - interval '1 second' WHERE muted_until IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
	over := bob.looksAt(group, "viewerSettings { isMuted mutedUntil }")
	check(t, "over", over.text("viewerSettings.isMuted")+over.text("viewerSettings.mutedUntil"), "false")
	for _, until := range []time.Time{time.Now().Add(-time.Minute), time.Now().Add(400 * 24 * time.Hour)} {
		bob.isRefused("INVALID", "muteConversation", vars{"conversationId": group, "until": until})
	}
	wrong := bob.asks(`mutation ($until: DateTime!) { muteConversation(input: {clientKey: "x", conversationId: "x", until: $until}) { userErrors { code } } }`, vars{"until": "tomorrow"})
	check(t, "no time", wrong.code(), "INVALID")
}

func TestE16E19TheBadgeLeavesOutWhatIsMutedOrArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	muted, archived, plain := ann.group("Muted", bob), ann.group("Archived", bob), ann.group("Plain", bob)
	for _, group := range []string{muted, archived, plain} {
		ann.sends(group, "one")
		ann.sends(group, "two")
	}

	bob.mutes(muted)
	bob.archives(archived)

	counts := bob.sees(`{ viewer { unreadConversationCount unreadMessageCount conversations(filter: {archived: null}) { nodes { unreadCount } } } }`, nil)
	check(t, "badge", counts.text("viewer.unreadConversationCount")+" "+counts.text("viewer.unreadMessageCount"), "1 2")
	check(t, "rows", counts.texts("viewer.conversations.nodes", "unreadCount"), "2, 2, 2")
}

func TestS46S47S48E15ArchivingIsOnesOwnAndUndoneByNewChat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group, direct := ann.group("Case", bob), ann.direct(bob)
	ann.sends(direct, "hello")
	device, others := bob.follows(), ann.follows()

	bob.archives(group)
	bob.archives(direct)

	check(t, "Bob lists", bob.lists("{}"), "")
	check(t, "Bob's archive", bob.lists("{archived: true}"), "Ann Lee, Case")
	check(t, "Ann lists", ann.lists("{}"), "Bob Roy, Case")
	check(t, "other devices", device.hears()+" "+device.hears(), "ConversationChanged ConversationChanged")
	check(t, "New Chat by group name", bob.finds("case"), "Case")
	check(t, "New Chat by person", bob.finds("ann"), "Ann Lee")
	target := bob.sees(`{ viewer { chatTargets(query: "ann") { nodes { ... on Contact { directConversation { viewerSettings { archivedAt } } } } } } }`, nil)
	if target.text("viewer.chatTargets.nodes.0.directConversation.viewerSettings.archivedAt") == "" {
		t.Error("New Chat does not know that the conversation is archived")
	}
	bob.direct(ann)
	check(t, "opening the person's", bob.lists("{}"), "Ann Lee")
	bob.did("unarchiveConversation", vars{"conversationId": group}, "")
	check(t, "opening the group's", bob.lists("{}"), "Ann Lee, Case")
	ann.sends(group, "sign")
	check(t, "Ann heard nothing of it", others.hears(), "Ann Lee: sign")
}

func TestE14AMessageBringsBackWhatIsArchivedUnlessMuted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	loud, muted := ann.group("Loud", bob), ann.group("Muted", bob)
	bob.mutes(muted)
	bob.archives(loud)
	bob.archives(muted)

	ann.adds(loud, cy)
	check(t, "a system line does not", bob.lists("{}"), "")
	device := bob.follows()
	ann.sends(loud, "news")
	ann.sends(muted, "news")

	check(t, "listed", bob.lists("{}"), "Loud")
	check(t, "archived and counted", bob.sees(`{ viewer { conversations(filter: {archived: true}) { nodes { unreadCount } } } }`, nil).texts("viewer.conversations.nodes", "unreadCount"), "1")
	var heard []string
	for range 3 {
		heard = append(heard, device.hears())
	}
	if !contains(heard, "ConversationChanged") {
		t.Errorf("other devices heard %v", heard)
	}
	bob.sends(muted, "my own")
	check(t, "one's own does", bob.lists("{}"), "Muted, Loud")
	w.decides(func(p *chat.Policy) { p.KeepArchived = true })
	bob.archives(loud)
	ann.sends(loud, "more news")
	check(t, "not where the clinic keeps it", bob.lists("{}"), "Muted")
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func TestE33OtherDevicesFollowWhatOneDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	message := ann.sends(group, "news")
	device, others := bob.follows(), ann.follows()

	bob.did("markRead", vars{"messageId": message}, "conversation { unreadCount }")

	check(t, "read", device.event().text("conversation.unreadCount"), "0")
	bob.archives(group)
	if device.event().text("conversation.viewerSettings.archivedAt") == "" {
		t.Error("the other device does not know that it is archived")
	}
	direct := bob.direct(ann)
	check(t, "started elsewhere", device.event().text("conversation.id"), direct)
	bob.sends(direct, "hello")
	check(t, "one's own message", device.hears(), "Bob Roy: hello")
	bob.leaves(group)
	check(t, "left", device.hears(), "gone: You left the group.")
	check(t, "Ann hears", others.hears()+"; "+others.hears(), "Bob Roy: hello; Bob Roy left the group.")
}
