package graph_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"corridor/internal/chat"
)

// race does things at once and returns what each returned.
func race[T any](acts ...func() T) []T {
	results := make([]T, len(acts))
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i, act := range acts {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			results[i] = act()
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return results
}

// tries is a mutation that may fail; it returns what it answered, in a word.
func (p *person) tries(mutation string, input vars) func() string {
	return func() string {
		payload := p.does(mutation, input, "")
		if code := payload.text("userErrors.0.code"); code != "" {
			return code
		}
		return "done"
	}
}

func TestE36EightSendsWithOneKeyAreOneMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	stream := bob.follows()
	send := func() string {
		return ann.did("sendMessage", vars{"clientKey": "once", "conversationId": group, "body": "only once"}, "message { id clientKey }").text("message.id")
	}

	sent := race(send, send, send, send, send, send, send, send)

	for _, id := range sent {
		check(t, "one message", id, sent[0])
	}
	ann.sends(group, "next")
	check(t, "heard", stream.hears()+" "+stream.hears(), "Ann Lee: only once Ann Lee: next")
	check(t, "another body", ann.isRefused("CLIENT_KEY_CONFLICT", "sendMessage", vars{"clientKey": "once", "conversationId": group, "body": "other"}),
		"This client key was used for something else. Use a new key for each thing a person does.")
	ann.isRefused("CLIENT_KEY_CONFLICT", "renameGroup", vars{"clientKey": "once", "conversationId": group, "name": "other"})
	bob.did("sendMessage", vars{"clientKey": "once", "conversationId": group, "body": "my own key"}, "")
	check(t, "only its sender sees a key", bob.looksAt(group, "messages(last: 3) { nodes { clientKey } }").texts("messages.nodes", "clientKey"), ", , once")
}

func TestE21DeleteAgainstSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	for i := range 12 {
		group := ann.group(fmt.Sprint("Case ", i), bob)
		stream := bob.follows()

		got := race(ann.tries("deleteGroup", vars{"conversationId": group}), bob.tries("sendMessage", vars{"conversationId": group, "body": "just in time?"}))

		check(t, "delete", got[0], "done")
		if got[1] != "done" && got[1] != "CONVERSATION_DELETED" {
			t.Errorf("send answered %s", got[1])
		}
		for heard := stream.hears(); heard != "deleted"; heard = stream.hears() {
			// What was sent first may be gone by the time that it is looked at.
			if heard != "Bob Roy: just in time?" && heard != "" {
				t.Errorf("heard %q", heard)
			}
		}
		bob.isRefused("CONVERSATION_DELETED", "sendMessage", vars{"conversationId": group, "body": "too late"})
		stream.drops()
	}
}

func TestE2TheOwnerLeavesWhileTheSuccessorIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	for i := range 12 {
		group := ann.group(fmt.Sprint("Case ", i), bob, cy)

		got := race(ann.tries("leaveGroup", vars{"conversationId": group, "successorId": bob.id}), cy.tries("removeParticipant", vars{"conversationId": group, "userId": bob.id}))

		owner := cy.looksAtGroup(group, "owner { name }").text("owner.name")
		switch outcome := strings.Join(got, ", ") + ", " + owner; outcome {
		case "done, CANNOT_REMOVE_OWNER, Bob Roy": // Ann was first
		case "NOT_A_PARTICIPANT, done, Ann Lee": // Cy was first, and Ann names somebody else
		default:
			t.Errorf("the outcome is %s", outcome)
		}
	}
}

func TestE21AddAgainstDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	for i := range 12 {
		group := ann.group(fmt.Sprint("Case ", i), bob)

		got := race(ann.tries("deleteGroup", vars{"conversationId": group}), bob.tries("addParticipants", vars{"conversationId": group, "userIds": []string{cy.id}}))

		check(t, "delete", got[0], "done")
		if got[1] != "done" && got[1] != "CONVERSATION_DELETED" {
			t.Errorf("add answered %s", got[1])
		}
		check(t, "Cy lists", cy.lists("{archived: null}"), "")
		check(t, "Bob lists", bob.lists("{archived: null}"), "")
	}
}

// E42, E30: the last places of a group are given away once.
func TestE42E30TwoPeopleFillTheLastPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr")
	ann, bob, cy, dee := people[0], people[1], people[2], people[3]
	w.decides(threeToAGroup)
	group := ann.group("Case", bob)

	got := race(func() string { return ann.adds(group, cy) }, func() string { return bob.adds(group, dee) })

	if joined := strings.Join(got, ", "); joined != "ADDED, LIMIT" && joined != "LIMIT, ADDED" {
		t.Errorf("the outcomes are %s", joined)
	}
	check(t, "how many", ann.looksAtGroup(group, "participantCount").text("participantCount"), "3")
	ann.isRefused("PARTICIPANT_LIMIT", "createGroup", vars{"name": "Big", "userIds": ids([]*person{bob, cy, dee})})
}

func threeToAGroup(p *chat.Policy) { p.GroupSizeLimit = 3 }

// Two people who archived the same two groups send into them crosswise: each send brings back the
// group for both, in one go, so that neither waits for the other.
func TestE14SendersWhoArchivedDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	first, second := ann.group("First", bob), ann.group("Second", bob)
	for range 20 {
		for _, p := range people {
			p.archives(first)
			p.archives(second)
		}
		for _, got := range race(
			ann.tries("sendMessage", vars{"conversationId": first, "body": "one"}),
			bob.tries("sendMessage", vars{"conversationId": second, "body": "two"}),
		) {
			check(t, "sent", got, "done")
		}
	}
}

// Whoever goes away in the middle of a change does not stop it: nobody would know whether it happened.
// And those who wait to write leave room for those who read.
func TestWhoGoesAwayStopsNothingAndWhoWaitsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	db := w.database.Open()
	held, err := db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback() //nolint:errcheck // it only holds a lock
	if _, err := held.Exec(`SELECT FROM conversations FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var all sync.WaitGroup
	const senders = 100
	for i := range senders {
		all.Go(func() {
			w.asksUnder(ctx, ann.at, ann.token, `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { userErrors { code } } }`,
				vars{"input": vars{"clientKey": fmt.Sprint("key ", i), "conversationId": group, "body": "hello"}})
		})
	}
	waiting := func() (n int) {
		const query = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
		if err := db.Get(&n, query); err != nil { // in a transaction it would always be the same
			t.Fatal(err)
		}
		return n
	}
	for deadline := time.Now().Add(patience); waiting() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits for the lock")
		}
	}

	check(t, "who reads meanwhile", bob.reads(group), "Ann Lee created the group.")
	begun := waiting()
	leave()
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	all.Wait()

	if sent := strings.Count(bob.reads(group), "hello"); sent < begun || sent > senders/2 {
		t.Errorf("%d of %d were at it in the database when all left, and %d have sent", begun, senders, sent)
	}
}
