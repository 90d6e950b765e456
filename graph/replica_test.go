package graph_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"corridor/internal/chat"
	"corridor/internal/pgtest"
	"corridor/internal/postgres"
)

// newReplicatedWorld is a world of two instances that read from a standby as far as they may.
func newReplicatedWorld(t *testing.T) *world {
	t.Helper()
	primary := pgtest.NewServer(t, nil)
	standby := primary.Standby()
	w := newWorldIn(t, primary.Database, standby)
	w.instance()
	return w
}

// replicaFor has an instance use the standby, if there is one, until ctx ends.
func (w *world) replicaFor(ctx context.Context, db *sqlx.DB, service *chat.Service, logger *slog.Logger) *postgres.Replica {
	w.t.Helper()
	if w.standby == nil {
		return nil
	}
	replica, err := postgres.OpenReplica(ctx, db, w.standby.URL, logger)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() { _ = replica.Run(ctx) }()
	service.UseReplica(replica)
	return replica
}

// answers is how many reads got this answer, on all instances.
func (w *world) answers(answer string) (reads int) {
	w.t.Helper()
	for _, i := range w.instances {
		registry := prometheus.NewRegistry()
		registry.MustRegister(i.replica)
		families, err := registry.Gather()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, metric := range families[0].GetMetric() {
			if metric.GetLabel()[0].GetValue() == answer {
				reads += int(metric.GetCounter().GetValue())
			}
		}
	}
	return reads
}

// lags has the standby stand still and go on, at random, until the test is over. It tells when that happened
// often and both the replica and, because that was behind, the primary were read.
func (w *world) lags() (enough <-chan struct{}) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done, often := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		told := false
		for i := 1; ctx.Err() == nil; i++ {
			if !told && i > 20 && w.answers("replica") > 0 && w.answers("behind") > 0 {
				close(often)
				told = true
			}
			w.standby.Pause()
			stays(ctx, rand.N(60*time.Millisecond))
			w.standby.Resume()
			stays(ctx, rand.N(60*time.Millisecond))
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
		w.t.Logf("%d reads of the replica, %d of the primary because it was behind", w.answers("replica"), w.answers("behind"))
	})
	return often
}

func stays(ctx context.Context, so time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(so):
	}
}

const listWithCursor = `{ viewer { conversations { eventCursor nodes { unreadCount lastMessage { text } viewerMembership { state } } } } }`

func TestQueriesAreAnsweredByTheReplica(t *testing.T) {
	t.Parallel()
	w := newReplicatedWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	ann.sends(group, "hello")
	for _, document := range []string{
		listWithCursor,
		`{ viewer { unreadMessageCount contacts { eventCursor nodes { name user { isAvailable } } } waitingRooms { nodes { name } } } }`,
		`{ viewer { chatTargets(query: "a") { eventCursor nodes { ... on GroupConversation { name } ... on Contact { name } } } } }`,
		`{ viewer { conversations { nodes { id messages { eventCursor nodes { text sender { name contact { email } } } }
			... on GroupConversation { owner { name } participantCount participants { nodes { user { name } } } } } } } }`,
		`{ node(id: "` + group + `") { id } }`,
	} {
		// When the replica has caught up the primary is only asked who is asking, for all at once: that counts
		// for nobody.
		for until, statements := time.Now().Add(patience), 1; statements != 0; {
			ctx, counter := pgtest.Count(context.Background())
			bob.must(w.asksUnder(ctx, bob.at, bob.token, document, nil))
			if statements = counter.Statements(); time.Now().After(until) {
				t.Fatalf("%s takes %d statements on the primary", document, statements)
			}
		}
	}
	replica := w.answers("replica")
	ann.sends(group, "a mutation reads what it answers from the primary")
	bob.follows().drops()
	check(t, "reads of the replica by a mutation and a subscription", w.answers("replica"), replica)
}

func TestOnesOwnIsReadAtOnceHoweverTheReplicaLags(t *testing.T) {
	t.Parallel()
	w := newReplicatedWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall", "Dee Orr")
	group := people[0].group("Case", people[1:]...)
	enough := w.lags()
	var all sync.WaitGroup

	for n, p := range people {
		all.Go(func() {
			mine := people[0].world.instances[n%2]
			for i := 0; ; i++ {
				select {
				case <-enough:
					return
				default:
				}
				text := fmt.Sprintf("%s %d", p.name, i)
				p.writes(mine, group, text)
				for _, at := range w.instances {
					transcript := p.must(w.asks(at, p.token, `query ($id: ID!) { node(id: $id) { ... on Conversation { messages(last: 30) { nodes { text } } } } }`, vars{"id": group}))
					if !strings.Contains(transcript.texts("node.messages.nodes", "text")+", ", text+", ") {
						t.Errorf("%s does not read %q", p.name, text)
					}
				}
			}
		})
	}
	all.Wait()
}

// writes sends a message by an instance.
func (p *person) writes(at *instance, to, body string) {
	p.world.t.Helper()
	const document = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { userErrors { message } } }`
	input := vars{"clientKey": newKey(), "conversationId": to, "body": body}
	if sent := p.must(p.world.asks(at, p.token, document, vars{"input": input})); len(sent.list("sendMessage.userErrors")) > 0 {
		p.world.t.Errorf("%s can't send: %s", p.name, sent.text("sendMessage.userErrors.0.message"))
	}
}

func TestWhoWasRemovedIsSoOnALaggingReplicaToo(t *testing.T) {
	t.Parallel()
	w := newReplicatedWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group, other := ann.group("Case", bob, cy), ann.group("Other", bob)
	ann.sends(group, "before")
	bob.reads(group)

	w.standby.Pause()
	ann.removes(group, bob)
	ann.sends(group, "behind his back")
	ann.deletes(other)

	for _, at := range w.instances {
		bob.at = at
		check(t, "Bob reads", bob.reads(group), "Ann Lee created the group., before, You were removed from the group.")
		check(t, "Bob is", bob.looksAt(group, "viewerMembership { state }").text("viewerMembership.state"), "REMOVED")
		check(t, "Bob lists", bob.lists("{}"), "Case")
	}
	w.standby.Resume()
}

// Everything that the list shows is not heard again, and everything else is heard.
func TestAListOfTheReplicaAndTheStreamMeet(t *testing.T) {
	t.Parallel()
	w := newReplicatedWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	ann.sends(group, "0")
	enough := w.lags()
	sent := make(chan int)
	go func() {
		for i := 1; ; i++ {
			select {
			case <-enough:
				sent <- i - 1
				return
			default:
				ann.writes(w.instances[i%2], group, fmt.Sprint(i))
			}
		}
	}()

	var streams []*stream
	var shown []int
	for last, over := 0, false; !over; {
		select {
		case last = <-sent:
			over = true
		default:
		}
		bob.at = w.instances[len(streams)%2]
		list := bob.looksAt(group, "messages(last: 1) { eventCursor nodes { text } }")
		var n int
		if _, err := fmt.Sscan(list.text("messages.nodes.0.text"), &n); err != nil {
			t.Fatal(err)
		}
		// The stream begins on the other instance.
		bob.at = w.instances[(len(streams)+1)%2]
		streams, shown = append(streams, bob.followsFrom(list.text("messages.eventCursor"))), append(shown, n)
		if over {
			ann.writes(ann.at, group, "over")
			check(t, "the last list shows", n, last)
		}
	}

	for i, stream := range streams {
		for next := shown[i] + 1; ; next++ {
			heard := stream.hears()
			if heard == "Ann Lee: over" {
				break
			}
			if want := fmt.Sprint("Ann Lee: ", next); heard != want {
				t.Errorf("a list showed %d, and the stream from there brought %q, want %q", shown[i], heard, want)
				break
			}
		}
	}
}

// A list that is read after an event was heard is not older than the event, and where it resumes is not before it.
func TestNothingGoesBackBehindWhatWasHeard(t *testing.T) {
	t.Parallel()
	w := newReplicatedWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	stream := bob.follows()
	enough := w.lags()

	for i := 0; ; i++ {
		text := fmt.Sprint("line ", i)
		ann.writes(w.instances[i%2], group, text)
		check(t, "heard", stream.hears(), "Ann Lee: "+text)

		bob.at = w.instances[i%2]
		list := bob.sees(listWithCursor, nil)

		check(t, "the list shows", list.text("viewer.conversations.nodes.0.lastMessage.text"), text)
		resumed := bob.followsFrom(list.text("viewer.conversations.eventCursor"))
		ann.writes(w.instances[i%2], group, "next of "+text)
		check(t, "heard behind it", resumed.hears(), "Ann Lee: next of "+text)
		check(t, "heard", stream.hears(), "Ann Lee: next of "+text)
		resumed.drops()
		select {
		case <-enough:
			return
		default:
		}
	}
}
