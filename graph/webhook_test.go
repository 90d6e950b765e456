package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"corridor/internal/chat"
	"corridor/internal/pgtest"
	"corridor/internal/webhook"
)

// useWebhooks lets an instance have webhooks, which may reach this machine; in a world that tells it reads and sends for
// them. What it returns waits for their end.
func (w *world) useWebhooks(ctx context.Context, service *chat.Service, logger *slog.Logger) *sync.WaitGroup {
	w.t.Helper()
	guard := webhook.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	err := service.UseWebhooks(chat.Webhooks{Key: w.key.Derive("webhook secret"), Reaches: guard.Reaches, Plain: guard.Plain()})
	if err != nil {
		w.t.Fatal(err)
	}
	told := &sync.WaitGroup{}
	if w.tells {
		told.Go(func() { _ = service.ReadWebhooks(ctx) })
		told.Go(func() { _ = webhook.New(service, guard, logger).Run(ctx) })
	}
	return told
}

func newTellingWorld(t *testing.T) *world {
	t.Helper()
	return newWorldIn(t, pgtest.New(t), nil, func(w *world) { w.tells = true })
}

// receiver is a partner's program that takes deliveries.
type receiver struct {
	t      *testing.T
	server *httptest.Server

	mu sync.Mutex
	// answers says how a delivery is answered: 204 without it.
	answers func(told, http.ResponseWriter)
	got     []told
	arrived chan struct{}
}

// told is a delivery as it came.
type told struct {
	thing
	kind, id string
	headers  http.Header
	body     []byte
	// failed is what it was answered with, if that was no success.
	failed int
}

func receives(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, arrived: make(chan struct{}, 1)}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		var said any
		_ = json.Unmarshal(body, &said)
		came := told{thing: thing{said}, id: request.Header.Get("webhook-id"), headers: request.Header, body: body}
		came.kind = came.text("type")
		recorder := httptest.NewRecorder()
		recorder.Code = http.StatusNoContent
		r.mu.Lock()
		if r.answers != nil {
			r.answers(came, recorder)
		}
		if recorder.Code >= 300 {
			came.failed = recorder.Code
		}
		r.got = append(r.got, came)
		r.mu.Unlock()
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorder.Code)
		select {
		case r.arrived <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) answer(answers func(told, http.ResponseWriter)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = answers
}

func failWith(status int) func(told, http.ResponseWriter) {
	return func(_ told, w http.ResponseWriter) { w.WriteHeader(status) }
}

// waits waits until what came is enough, and returns it.
func (r *receiver) waits(what string, enough func(got []told) bool) []told {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		got := slices.Clone(r.got)
		r.mu.Unlock()
		if enough(got) {
			return got
		}
		select {
		case <-r.arrived:
		case <-deadline:
			r.t.Fatalf("%s did not come: %s", what, describe(got))
		}
	}
}

// hears waits for so many deliveries.
func (r *receiver) hears(n int) []told {
	r.t.Helper()
	return r.waits(fmt.Sprint(n, " deliveries"), func(got []told) bool { return len(got) >= n })
}

func describe(got []told) string {
	var kinds []string
	for _, came := range got {
		kind := came.kind
		if came.failed != 0 {
			kind += fmt.Sprintf("(%d)", came.failed)
		}
		kinds = append(kinds, kind)
	}
	return strings.Join(kinds, " ")
}

// took are the deliveries that were answered with success.
func took(got []told) (arrived []told) {
	for _, came := range got {
		if came.failed == 0 {
			arrived = append(arrived, came)
		}
	}
	return arrived
}

// messages are the ids of the messages that deliveries are about.
func messages(got []told) string {
	var ids []string
	for _, came := range got {
		if id := came.text("data.messageId"); id != "" {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, " ")
}

// webhookOf is a webhook of the partner's account, made with their key, with its secret.
func (p *partner) webhook(to *receiver, types ...string) (id, secret string) {
	p.world.t.Helper()
	made := p.did("createWebhook", vars{"name": "Lab", "url": to.server.URL + "/corridor?token=hidden", "eventTypes": types}, "secret webhook { id }")
	return made.text("webhook.id"), made.text("secret")
}

// is is the state of a webhook of the partner's.
func (p *partner) is(webhook string) thing {
	p.world.t.Helper()
	for _, found := range p.sees(`{ viewer { webhooks { nodes { id name url state backlog givenUp lastError lastErrorAt lastDeliveredAt failingSince oldSecretUntil eventTypes } } } }`, nil).list("viewer.webhooks.nodes") {
		if found.text("id") == webhook {
			return found
		}
	}
	return thing{}
}

// until looks at a webhook until it is as it should be.
func (p *partner) until(webhook, what string, enough func(is thing) bool) (is thing) {
	p.world.t.Helper()
	p.world.eventually("the webhook is "+what, func() bool {
		is = p.is(webhook)
		return enough(is)
	})
	return is
}

// becomes waits until the webhook is in a state.
func (p *partner) becomes(webhook, state string) thing {
	p.world.t.Helper()
	return p.until(webhook, state, func(is thing) bool { return is.text("state") == state })
}

// waits waits until so many deliveries of a webhook wait.
func (p *partner) waits(webhook string, n int) thing {
	p.world.t.Helper()
	return p.until(webhook, fmt.Sprintf("at %d deliveries", n), func(is thing) bool { return is.number("backlog") == n })
}

// ages lets time pass for all that is written down of webhooks.
func (w *world) ages(by time.Duration) {
	w.t.Helper()
	db := w.database.Open()
	defer db.Close()
	w.eventually("what became of attempts is written down", func() bool {
		var sending int
		if err := db.Get(&sending, `SELECT count(*) FROM webhook_queues WHERE claim IS NOT NULL`); err != nil {
			w.t.Fatal(err)
		}
		return sending == 0
	})
	for _, query := range []string{
		`UPDATE webhook_queues SET next_at = next_at - $1 * interval '1 second', failing_since = failing_since - $1 * interval '1 second'`,
		`UPDATE webhooks SET failing_since = failing_since - $1 * interval '1 second', hold_until = hold_until - $1 * interval '1 second'`,
	} {
		if _, err := db.Exec(query, by.Seconds()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// clinicWithPartner is a clinic whose partner's account is in the waiting room, so that people can talk to it.
func clinicWithPartner(t *testing.T, scopes ...string) (w *world, grace, bob *person, lab *partner) {
	t.Helper()
	w = newTellingWorld(t)
	people := w.people("Front desk", "Grace Hall", "Bob Roy")
	grace, bob = people[0].administers(), people[1]
	account := grace.serviceAccount("Lab results")
	grace.did("setServiceAccountWaitingRooms", vars{"serviceAccountId": account, "waitingRoomIds": []string{grace.room("Front desk")}}, "")
	lab = grace.gives(account, append(scopes, "WEBHOOKS_WRITE")...)
	return w, grace, bob, lab
}

var aboutMessages = []string{"MESSAGE_ADDED", "MESSAGE_CHANGED", "CONVERSATION_ADDED", "CONVERSATION_LEFT", "GROUP_DELETED"}

// verify checks a delivery as a partner would, with their library.
func (c told) verify(secret string) error {
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return verifier.Verify(c.body, c.headers)
}

func TestAWebhookTellsOfWhatHappensByIdsAlone(t *testing.T) {
	t.Parallel()
	_, grace, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ", "CONVERSATIONS_WRITE")
	to := receives(t)
	webhook, secret := lab.webhook(to, aboutMessages...)

	group := bob.group("Confidential case", lab.person)
	message := bob.sends(group, "The scan of Mrs. Miller is in.")
	bob.did("editMessage", vars{"messageId": message, "body": "The scan of Mrs. Smith is in."}, "")
	own := lab.sends(group, "Thank you, Bob")
	bob.removes(group, lab.person)
	bob.sends(group, "Now that they are gone")
	to.hears(5)
	bob.deletes(group)

	got := to.waits("the end of the group", func(got []told) bool { return len(got) > 0 && got[len(got)-1].kind == "group.deleted" })
	check(t, "heard", describe(got), "conversation.added message.added message.changed message.added conversation.left group.deleted")
	check(t, "of", messages(got[:4]), message+" "+message+" "+own)
	check(t, "why it left", got[4].text("data.reason"), "REMOVED")
	ids := map[string]bool{}
	for _, came := range got {
		if err := came.verify(secret); err != nil {
			t.Errorf("%s is not signed: %v", came.kind, err)
		}
		check(t, "conversation", came.text("data.conversationId"), group)
		check(t, "webhook", came.text("data.webhookId"), webhook)
		if at, err := time.Parse(time.RFC3339Nano, came.text("timestamp")); err != nil || time.Since(at) > time.Hour {
			t.Errorf("at %s: %v", came.text("timestamp"), err)
		}
		for _, text := range []string{"scan", "Miller", "Smith", "Thank", "gone", "Confidential", "Bob", "Roy", "Lab", bob.email} {
			if strings.Contains(string(came.body), text) {
				t.Errorf("%s holds what people wrote: %s", came.kind, came.body)
			}
		}
		ids[came.id] = true
	}
	check(t, "ids", len(ids), len(got))
	check(t, "media type", got[0].headers.Get("Content-Type"), "application/json")
	is := lab.becomes(webhook, "ACTIVE")
	if is.text("lastDeliveredAt") == "" || is.text("lastError") != "" {
		t.Errorf("it says: %v", is.value)
	}
	grace.did("testWebhook", vars{"webhookId": webhook}, "")
	got = to.hears(len(got) + 1)
	check(t, "a test", got[len(got)-1].kind, "webhook.test")
}

func TestAWebhookTellsOnlyOfWhatItWasMadeForAndItsAccountMayHear(t *testing.T) {
	t.Parallel()
	w, grace, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ", "CONTACTS_READ")
	fax := grace.gives(grace.serviceAccount("Fax"), "CONVERSATIONS_READ", "CONTACTS_READ", "WEBHOOKS_WRITE")
	zoe := w.personOf("Hillside", "Zoe Kay", "MA", "Desk").administers()
	other := zoe.gives(zoe.serviceAccount("Their lab"), "CONTACTS_READ", "WEBHOOKS_WRITE")
	toLab, toFax, toOther := receives(t), receives(t), receives(t)
	lab.webhook(toLab, "MESSAGE_ADDED")
	fax.webhook(toFax, "MESSAGE_ADDED", "CONTACT_CHANGED")
	other.webhook(toOther, "CONTACT_CHANGED")

	group := bob.group("Case", lab.person)
	bob.sends(bob.direct(grace), "between us")
	first := bob.sends(group, "one")
	bob.removes(group, lab.person)
	bob.sends(group, "secret")
	bob.adds(group, lab.person)
	second := bob.sends(group, "two")
	bob.moves("Ward")

	check(t, "the lab heard of", messages(toLab.hears(2)), first+" "+second)
	came := toFax.hears(1)
	check(t, "the fax", describe(came), "contact.changed")
	check(t, "of", came[0].text("data.userId"), bob.id)
	check(t, "of no conversation", came[0].text("data.conversationId"), "")
	zoe.moves("Ward")
	came = toOther.hears(1)
	check(t, "the other clinic heard of", came[0].text("data.userId"), zoe.id)
	last := bob.sends(group, "three")
	check(t, "all that the lab heard of", messages(toLab.hears(3)), first+" "+second+" "+last)
	check(t, "all that the fax heard", len(toFax.hears(1)), 1)
}

// TestAWebhookTellsNothingFromBeforeItWasMade makes webhooks right behind changes, while these are put into the order of all events.
func TestAWebhookTellsNothingFromBeforeItWasMade(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONTACTS_READ")
	ann := w.person("Ann Lee", "Front desk")
	const webhooks = 10
	var made []*receiver
	for n := range webhooks {
		bob.moves("Front desk", fmt.Sprint("Ward ", n))
		made = append(made, receives(t))
		lab.webhook(made[n], "CONTACT_CHANGED")
	}

	ann.moves("Front desk", "Ward")

	for n, to := range made {
		got := to.waits("the last change", func(got []told) bool { return len(got) > 0 && got[len(got)-1].text("data.userId") == ann.id })
		check(t, fmt.Sprint("heard by the webhook behind change ", n), len(got), webhooks-n)
	}
}

func TestAWebhookTellsNothingOfPatients(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONTACTS_READ")
	to := receives(t)
	lab.webhook(to, "CONTACT_CHANGED")

	pat := w.personOf(home, "Pat Ient", "Patient", "Front desk")
	pat.moves("Front desk", "Ward")
	bob.moves("Ward")
	first := to.hears(1)
	pat.role = "MA"
	w.importRoster(home)

	check(t, "while they are a patient", first[0].text("data.userId"), bob.id)
	got := to.hears(2)
	check(t, "when they are not any more", got[1].text("data.userId"), pat.id)
	check(t, "all", describe(got), "contact.changed contact.changed")
}

func TestWhatFailsHoldsUpItsConversationAndNoOther(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	to := receives(t)
	webhook, _ := lab.webhook(to, "MESSAGE_ADDED")
	one, two := bob.group("One", lab.person), bob.group("Two", lab.person)
	to.answer(func(came told, w http.ResponseWriter) {
		if came.text("data.conversationId") == one {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})

	first := bob.sends(one, "a")
	to.hears(1)
	second := bob.sends(one, "b")
	var others []string
	for range 30 {
		others = append(others, bob.sends(two, "c"))
	}

	got := to.waits("all of the other conversation", func(got []told) bool { return len(took(got)) == len(others) })
	check(t, "in order", messages(took(got)), strings.Join(others, " "))
	for _, came := range got {
		if came.failed != 0 && came.text("data.messageId") != first {
			t.Errorf("%s was tried before the first had arrived", came.text("data.messageId"))
		}
	}
	check(t, "why", lab.waits(webhook, 2).text("lastError"), "It answered 500.")
	to.answer(nil)
	w.ages(time.Minute)
	got = to.waits("what had failed", func(got []told) bool { return len(took(got)) == len(others)+2 })
	arrived := took(got)
	check(t, "in order at last", messages(arrived[len(others):]), first+" "+second)
	check(t, "under the same id", arrived[len(others)].id, got[0].id)
	is := lab.until(webhook, "without an error", func(is thing) bool { return is.text("lastError") == "" })
	check(t, "and when it was", is.text("lastErrorAt"), "")
	check(t, "which is", is.text("state"), "ACTIVE")
}

// TestEveryEventArrivesWhenInstancesEnd ends one of two again and again while messages are sent, and fails deliveries besides.
func TestEveryEventArrivesInOrderWhenInstancesComeAndGo(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	to := receives(t)
	lab.webhook(to, "MESSAGE_ADDED")
	groups := []string{bob.group("One", lab.person), bob.group("Two", lab.person), bob.group("Three", lab.person)}
	n := 0
	to.answer(func(_ told, w http.ResponseWriter) {
		if n++; n%7 == 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	want := map[string][]string{}
	for round := range 4 {
		next := w.instance()
		for i := range 21 {
			group := groups[i%len(groups)]
			want[group] = append(want[group], bob.sends(group, "x"))
			if i == 10 {
				bob.at.stop()
				bob.at = next
			}
		}
		if round == 2 {
			lab.at = next
		}
	}

	got := to.waits("everything", func(got []told) bool {
		arrived := map[string]bool{}
		for _, came := range took(got) {
			arrived[came.text("data.messageId")] = true
		}
		return len(arrived) == 84
	})

	ids, events := map[string]string{}, map[string]string{}
	first := map[string][]string{}
	for _, came := range took(got) {
		message, group := came.text("data.messageId"), came.text("data.conversationId")
		if ids[message] == "" {
			first[group] = append(first[group], message)
			ids[message], events[came.id] = came.id, message
		}
		if ids[message] != came.id || events[came.id] != message {
			t.Errorf("%s came as %s and as %s", message, came.id, ids[message])
		}
	}
	for _, group := range groups {
		check(t, "in order", strings.Join(first[group], " "), strings.Join(want[group], " "))
	}
}

// TestTwoWhoReadForAWebhookTellOfEachEventOnce takes away again and again what says whose turn it is, so that two instances read at the same time.
func TestTwoWhoReadForAWebhookTellOfEachEventOnce(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	second := w.instance()
	to := receives(t)
	lab.webhook(to, "MESSAGE_ADDED")
	groups := []string{bob.group("One", lab.person), bob.group("Two", lab.person)}
	db := w.database.Open()
	defer db.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var thief sync.WaitGroup
	thief.Go(func() {
		for again := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-again.C {
			_, _ = db.Exec(`DELETE FROM webhook_leases`)
		}
	})
	defer thief.Wait()
	defer cancel()
	bob.at.streamsAre(w, 1)
	second.streamsAre(w, 1)

	want := map[string]string{}
	for i := range 300 {
		group := groups[i%2]
		want[group] += bob.sends(group, "x") + " "
	}
	last := bob.sends(groups[0], "the last")

	to.waits("the last", func(got []told) bool { return strings.Contains(messages(got), last) })
	got := to.hears(301)
	check(t, "deliveries", len(got), 301)
	heard := map[string]string{}
	for _, came := range got {
		if came.text("data.messageId") != last {
			heard[came.text("data.conversationId")] += came.text("data.messageId") + " "
		}
	}
	for _, group := range groups {
		check(t, "in order", heard[group], want[group])
	}
}

func TestAWebhookThatIsDeadForADayIsPausedAndGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	to := receives(t)
	webhook, _ := lab.webhook(to, "MESSAGE_ADDED")
	group := bob.group("Case", lab.person)
	to.answer(failWith(http.StatusServiceUnavailable))

	first := bob.sends(group, "a")
	to.hears(1)
	is := lab.becomes(webhook, "FAILING")
	check(t, "waiting", is.number("backlog"), 1)
	w.ages(23 * time.Hour)
	to.hears(2)
	check(t, "after 23 hours", lab.becomes(webhook, "FAILING").text("lastError"), "It answered 503.")
	w.ages(2 * time.Hour)
	to.hears(3)

	is = lab.becomes(webhook, "PAUSED")
	check(t, "why", is.text("lastError"), "It answered 503.")
	second := bob.sends(group, "b")
	to.answer(nil)
	w.ages(24 * time.Hour)
	lab.did("resumeWebhook", vars{"webhookId": webhook}, "webhook { state }")
	got := to.waits("the rest", func(got []told) bool { return len(took(got)) == 2 })
	check(t, "attempts", describe(got), "message.added(503) message.added(503) message.added(503) message.added message.added")
	check(t, "nothing is lost", messages(took(got)), first+" "+second)
	is = lab.becomes(webhook, "ACTIVE")
	check(t, "given up", is.number("givenUp"), 0)
	check(t, "what failed before", is.text("lastError"), "")
}

func TestADeliveryIsGivenUpAfterADayIfOthersArrive(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	to := receives(t)
	webhook, _ := lab.webhook(to, "MESSAGE_ADDED")
	one, two := bob.group("One", lab.person), bob.group("Two", lab.person)
	poison := ""
	to.answer(func(came told, w http.ResponseWriter) {
		if id := came.text("data.messageId"); came.text("data.conversationId") == one && (poison == "" || poison == id) {
			poison = id
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	never := bob.sends(one, "a")
	to.hears(1)
	behind, other := bob.sends(one, "b"), bob.sends(two, "c")
	to.waits("the other", func(got []told) bool { return messages(took(got)) == other })
	check(t, "it answers", lab.becomes(webhook, "ACTIVE").text("lastError"), "It answered 400.")

	w.ages(25 * time.Hour)

	got := to.waits("what comes behind", func(got []told) bool { return messages(took(got)) == other+" "+behind })
	check(t, "what never arrived", got[len(got)-2].text("data.messageId"), never)
	is := lab.until(webhook, "without an error", func(is thing) bool { return is.text("lastError") == "" })
	check(t, "given up", is.number("givenUp"), 1)
}

func TestAWebhookIsReplayedFromAnyOfItsCursors(t *testing.T) {
	t.Parallel()
	_, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ", "CONTACTS_READ")
	to := receives(t)
	webhook, _ := lab.webhook(to, "MESSAGE_ADDED")
	stream := lab.follows()
	group := bob.group("Case", lab.person)
	stream.event()
	start := stream.cursor
	var sent []string
	for range 5 {
		sent = append(sent, bob.sends(group, "x"))
	}
	got := to.hears(5)

	lab.did("replayWebhook", vars{"webhookId": webhook, "after": got[1].text("data.cursor")}, "")
	again := to.hears(8)[5:]
	lab.did("replayWebhook", vars{"webhookId": webhook, "after": start}, "")
	whole := to.hears(13)[8:]

	check(t, "from the second", messages(again), strings.Join(sent[2:], " "))
	check(t, "from the beginning", messages(whole), strings.Join(sent, " "))
	for i, came := range whole {
		check(t, "under the same id", came.id, got[i].id)
	}

	of := receives(t)
	directory, _ := lab.webhook(of, "CONTACT_CHANGED")
	bob.moves("Front desk", "Ward")
	bob.moves("Front desk")
	got = of.hears(2)
	lab.did("replayWebhook", vars{"webhookId": directory, "after": got[0].text("data.cursor")}, "")
	check(t, "of the directory", of.hears(3)[2].id, got[1].id)
	lab.isRefused("CURSOR_INVALID", "replayWebhook", vars{"webhookId": webhook, "after": "nonsense"})
	foreign := bob.sees(`{ viewer { conversations { eventCursor } } }`, nil).text("viewer.conversations.eventCursor")
	lab.isRefused("CURSOR_INVALID", "replayWebhook", vars{"webhookId": webhook, "after": foreign})
}

func TestARotatedSecretSignsBesideTheOldOne(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	to := receives(t)
	webhook, old := lab.webhook(to, "MESSAGE_ADDED")
	group := bob.group("Case", lab.person)

	input := vars{"webhookId": webhook, "overlapMinutes": 60, "clientKey": "rotate"}
	rotated := lab.did("rotateWebhookSecret", input, "secret webhook { oldSecretUntil }")
	fresh := rotated.text("secret")
	check(t, "shown once", lab.did("rotateWebhookSecret", input, "secret").text("secret"), "")
	if rotated.text("webhook.oldSecretUntil") == "" || fresh == old {
		t.Errorf("nothing was rotated: %v", rotated.value)
	}
	bob.sends(group, "both")
	came := to.hears(1)[0]
	for _, secret := range []string{old, fresh} {
		if err := came.verify(secret); err != nil {
			t.Error(err)
		}
	}
	lab.did("rotateWebhookSecret", vars{"webhookId": webhook, "overlapMinutes": 0}, "secret")
	bob.sends(group, "neither")
	came = to.hears(2)[1]
	for _, secret := range []string{old, fresh} {
		if came.verify(secret) == nil {
			t.Error("a secret signs after its end")
		}
	}

	db := w.database.Open()
	defer db.Close()
	var rows []string
	if err := db.Select(&rows, `SELECT encode(secret || coalesce(old_secret, ''), 'escape') || webhooks::text FROM webhooks UNION ALL SELECT client_keys::text FROM client_keys`); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if strings.Contains(row, "whsec_") || strings.Contains(row, fresh[6:]) {
			t.Errorf("the secret is kept as it is: %s", row)
		}
	}
}

func TestAWebhookStopsWithTheKeysThatMayReadWhatItTells(t *testing.T) {
	t.Parallel()
	for what, ends := range map[string]func(grace *person, lab *partner){
		"revoked": func(grace *person, lab *partner) { grace.did("revokePartnerKey", vars{"keyId": lab.key}, "") },
		"deactivated": func(grace *person, lab *partner) {
			grace.did("deactivateServiceAccount", vars{"serviceAccountId": lab.id}, "")
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w, grace, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
			to := receives(t)
			webhook, _ := lab.webhook(to, "MESSAGE_ADDED")
			fax := grace.gives(grace.serviceAccount("Fax"), "CONVERSATIONS_READ", "WEBHOOKS_WRITE")
			grace.did("setServiceAccountWaitingRooms", vars{"serviceAccountId": fax.id, "waitingRoomIds": []string{grace.room("Front desk")}}, "")
			toFax := receives(t)
			fax.webhook(toFax, "MESSAGE_ADDED")
			group := bob.group("Case", lab.person, fax.person)
			to.answer(failWith(http.StatusInternalServerError))
			first := bob.sends(group, "a")
			to.hears(1)

			ends(grace, lab)
			to.answer(nil)
			w.ages(time.Minute)
			second := bob.sends(group, "b")

			check(t, "another account goes on", messages(toFax.hears(2)), first+" "+second)
			list := grace.sees(`{ viewer { clinic { webhooks { nodes { state backlog serviceAccount { name } } } } } }`, nil)
			check(t, "states", list.texts("viewer.clinic.webhooks.nodes", "state"), "ACTIVE, SUSPENDED")
			check(t, "of", list.text("viewer.clinic.webhooks.nodes.1.serviceAccount.name"), "Lab results")
			check(t, "waiting", list.number("viewer.clinic.webhooks.nodes.1.backlog"), 1)
			check(t, "nothing more", len(to.hears(1)), 1)
			if what == "deactivated" {
				return
			}
			again := grace.gives(lab.id, "CONVERSATIONS_READ", "WEBHOOKS_WRITE")
			again.did("resumeWebhook", vars{"webhookId": webhook}, "")
			got := to.waits("the rest", func(got []told) bool { return len(took(got)) == 2 })
			check(t, "it goes on with a new key", messages(took(got)), first+" "+second)
		})
	}
}

func TestWhatWaitsIsNotToldOnceItIsNotChosenAnyMore(t *testing.T) {
	t.Parallel()
	w, grace, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ", "CONTACTS_READ")
	to := receives(t)
	webhook, _ := lab.webhook(to, "MESSAGE_ADDED", "CONVERSATION_LEFT", "CONTACT_CHANGED")
	group := bob.group("Case", lab.person)
	to.answer(failWith(http.StatusInternalServerError))
	bob.sends(group, "a")
	to.hears(1)
	bob.sends(group, "b")
	bob.moves("Ward")
	lab.did("testWebhook", vars{"webhookId": webhook}, "")
	lab.waits(webhook, 4)
	less := grace.gives(lab.id, "CONTACTS_READ", "WEBHOOKS_WRITE")
	grace.did("revokePartnerKey", vars{"keyId": lab.key}, "")
	less.becomes(webhook, "SUSPENDED")
	w.ages(time.Second)
	to.answer(nil)

	less.did("updateWebhook", vars{"webhookId": webhook, "eventTypes": []string{"CONTACT_CHANGED"}}, "")
	check(t, "what waits", less.is(webhook).number("backlog") <= 2, true)
	w.ages(time.Minute)

	less.waits(webhook, 0)
	to.mu.Lock()
	arrived := took(to.got)
	to.mu.Unlock()
	check(t, "arrived", describe(arrived), "contact.changed webhook.test")
	check(t, "of", arrived[0].text("data.userId"), bob.id)
}

// TestWhatIsNotChosenIsDroppedWhenItIsTaken puts into a queue what no reader writes any more.
func TestWhatIsNotChosenIsDroppedWhenItIsTaken(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	to := receives(t)
	webhook, _ := lab.webhook(to, "MESSAGE_ADDED")
	group := bob.group("Case", lab.person)
	lab.did("pauseWebhook", vars{"webhookId": webhook}, "")
	for range 3 {
		lab.did("testWebhook", vars{"webhookId": webhook}, "")
	}
	db := w.database.Open()
	defer db.Close()
	const fill = `
		INSERT INTO webhook_deliveries (webhook_id, id, queue, place, kind, occurred_at)
		SELECT webhook_id, gen_random_uuid(), queue, -n, 'CONTACT_CHANGED', now() FROM webhook_queues, generate_series(1, 50) AS n`
	if _, err := db.Exec(fill); err != nil {
		t.Fatal(err)
	}

	lab.did("resumeWebhook", vars{"webhookId": webhook}, "")
	message := bob.sends(group, "a")

	got := to.waits("the message", func(got []told) bool { return messages(got) == message && len(got) == 4 })
	lab.waits(webhook, 0)
	for _, came := range got {
		check(t, "chosen", came.kind != "contact.changed", true)
	}
}

func TestAWebhookThatAnswersGoneIsPausedAtOnceAndOneThatAsksForAPauseGetsIt(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	to := receives(t)
	webhook, _ := lab.webhook(to, "MESSAGE_ADDED")
	one, two := bob.group("One", lab.person), bob.group("Two", lab.person)
	to.answer(func(_ told, w http.ResponseWriter) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	bob.sends(one, "a")
	to.hears(1)
	lab.becomes(webhook, "FAILING")
	to.answer(failWith(http.StatusGone))
	bob.sends(two, "b")
	w.ages(50 * time.Minute)
	lab.waits(webhook, 2)
	check(t, "held up", len(to.hears(1)), 1)

	w.ages(20 * time.Minute)

	is := lab.becomes(webhook, "PAUSED")
	check(t, "why", is.text("lastError"), "It answered 410, that it wants nothing more.")
}

func TestWebhooksOfOthersDoNotExist(t *testing.T) {
	t.Parallel()
	w, grace, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	webhook, _ := lab.webhook(receives(t), "MESSAGE_ADDED")
	zoe := w.personOf("Hillside", "Zoe Kay", "MA", "Desk").administers()
	fax := grace.gives(grace.serviceAccount("Fax"), "WEBHOOKS_WRITE", "CONVERSATIONS_READ")
	cursor := lab.follows().next("events").text("cursor")
	inputs := map[string]vars{
		"updateWebhook": {"name": "Mine", "url": "https://partner.example"}, "rotateWebhookSecret": {}, "pauseWebhook": {}, "resumeWebhook": {}, "replayWebhook": {"after": cursor}, "testWebhook": {}, "deleteWebhook": {},
	}
	for _, stranger := range []*person{zoe, fax.person} {
		for mutation, input := range inputs {
			statements := map[string]int{}
			sentences := map[string]string{}
			for _, id := range []string{webhook, "webhook_00000000000000000000000001"} {
				ctx, counter := pgtest.Count(context.Background())
				input["webhookId"], input["clientKey"] = id, newKey()
				kind := strings.ToUpper(mutation[:1]) + mutation[1:] + "Input!"
				answer := w.asksUnder(ctx, stranger.at, stranger.token, fmt.Sprintf(`mutation ($input: %s) { %s(input: $input) { userErrors { code message field } } }`, kind, mutation), vars{"input": input})
				statements[id], sentences[id] = counter.Statements(), answer.body
				if !strings.Contains(answer.body, "NOT_FOUND") {
					t.Errorf("%s: %s %s", stranger.name, mutation, answer.body)
				}
			}
			check(t, mutation+" says the same", sentences[webhook], sentences["webhook_00000000000000000000000001"])
			check(t, mutation+" in as many statements", statements[webhook], statements["webhook_00000000000000000000000001"])
		}
		if stranger == fax.person {
			check(t, "listed", stranger.sees(`{ viewer { webhooks { nodes { id } } } }`, nil).texts("viewer.webhooks.nodes", "id"), "")
		} else {
			check(t, "listed", stranger.sees(`{ viewer { clinic { webhooks { nodes { id } } } } }`, nil).texts("viewer.clinic.webhooks.nodes", "id"), "")
		}
	}
	fax.isRefused("NOT_FOUND", "createWebhook", vars{"serviceAccountId": lab.id, "name": "x", "url": "https://partner.example", "eventTypes": []string{"MESSAGE_ADDED"}})
	zoe.isRefused("NOT_FOUND", "createWebhook", vars{"serviceAccountId": lab.id, "name": "x", "url": "https://partner.example", "eventTypes": []string{"MESSAGE_ADDED"}})
	grace.isRefused("NOT_FOUND", "createWebhook", vars{"serviceAccountId": bob.id, "name": "x", "url": "https://partner.example", "eventTypes": []string{"MESSAGE_ADDED"}})
	check(t, "bob", bob.asks(`{ viewer { clinic { webhooks { nodes { id } } } } }`, nil).code(), "GRAPHQL_VALIDATION_FAILED")
	check(t, "it is as it was", lab.is(webhook).text("name"), "Lab")
	check(t, "deleted", lab.did("deleteWebhook", vars{"webhookId": webhook}, "webhookId").text("webhookId"), webhook)
	check(t, "gone", grace.sees(`{ viewer { clinic { webhooks { nodes { id } } } } }`, nil).texts("viewer.clinic.webhooks.nodes", "id"), "")
}

func TestAWebhookIsRefusedWithReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	account := grace.serviceAccount("Lab results")
	lab := grace.gives(account, "WEBHOOKS_WRITE", "CONVERSATIONS_READ")
	for what, change := range map[string]vars{
		"no name":             {"name": " "},
		"a long name":         {"name": strings.Repeat("n", 101)},
		"no event":            {"eventTypes": []string{}},
		"a scope too many":    {"eventTypes": []string{"MESSAGE_ADDED", "CONTACT_CHANGED"}},
		"no address":          {"url": ""},
		"another scheme":      {"url": "ftp://partner.example"},
		"a file":              {"url": "file:///etc/passwd"},
		"no scheme":           {"url": "partner.example/corridor"},
		"no host":             {"url": "https:///corridor"},
		"a password":          {"url": "https://user:password@partner.example"},
		"a fragment":          {"url": "https://partner.example/#a"},
		"a control character": {"url": "https://partner.example/\r\nHost: x"},
		"a long address":      {"url": "https://partner.example/" + strings.Repeat("a", 2000)},
		"a private address":   {"url": "https://10.0.0.1/"},
		"a private IPv6":      {"url": "https://[fd00::1]/"},
		"IPv4 in IPv6":        {"url": "https://[::ffff:169.254.169.254]/"},
		"by NAT64":            {"url": "https://[64:ff9b::a9fe:a9fe]/"},
		"public without TLS":  {"url": "http://93.184.216.34/"},
	} {
		t.Run(what, func(t *testing.T) {
			input := vars{"name": "Lab", "url": "https://partner.example/corridor", "eventTypes": []string{"MESSAGE_ADDED"}}
			for name, value := range change {
				input[name] = value
			}
			lab.isRefused("INVALID", "createWebhook", input)
		})
	}
	for address, want := range map[string]string{
		"http://93.184.216.34/":                "The address must begin with https://: http:// is only for the networks that the operator of the server allows.",
		"http://[2606:2800:220:1:248:1893::]/": "The address must begin with https://: http:// is only for the networks that the operator of the server allows.",
		"http://10.0.0.1/":                     "The address is in a network that webhooks may not reach.",
		"ftp://partner.example/":               "The address must begin with https://.",
	} {
		said := lab.does("createWebhook", vars{"name": "Lab", "url": address, "eventTypes": []string{"MESSAGE_ADDED"}}, "").text("userErrors.0.message")
		check(t, address, said, want)
	}
	grace.isRefused("INVALID", "createWebhook", vars{"name": "Lab", "url": "https://partner.example", "eventTypes": []string{"MESSAGE_ADDED"}, "serviceAccountId": nil})
	made := lab.did("createWebhook", vars{"name": "Lab", "url": "https://partner.example", "eventTypes": []string{"GROUP_DELETED", "MESSAGE_ADDED", "MESSAGE_ADDED"}}, "webhook { id eventTypes state }")
	check(t, "each once, in order", words(made.at("webhook.eventTypes")), "MESSAGE_ADDED GROUP_DELETED")
	id := made.text("webhook.id")
	lab.isRefused("INVALID", "rotateWebhookSecret", vars{"webhookId": id, "overlapMinutes": 10081})
	lab.isRefused("INVALID", "updateWebhook", vars{"webhookId": id, "eventTypes": []string{"CONTACT_CHANGED"}})
	lab.isRefused("INVALID", "updateWebhook", vars{"webhookId": id, "url": "http://192.168.0.1"})
	for range 10 {
		lab.did("testWebhook", vars{"webhookId": id}, "")
	}
	if said := lab.does("testWebhook", vars{"webhookId": id}, "").text("userErrors.0.code"); said != "RATE_LIMITED" {
		t.Errorf("eleven tests: %s", said)
	}
	updated := grace.did("updateWebhook", vars{"webhookId": id, "name": "Laboratory", "eventTypes": []string{"CONTACT_CHANGED"}}, "webhook { name url eventTypes state }")
	check(t, "updated by an administrator", updated.text("webhook.name")+" "+updated.text("webhook.url")+" "+words(updated.at("webhook.eventTypes")), "Laboratory https://partner.example CONTACT_CHANGED")
	check(t, "which the account may not hear yet", updated.text("webhook.state"), "SUSPENDED")
	check(t, "whom it tells what a key may not read", lab.does("updateWebhook", vars{"webhookId": id, "url": "https://elsewhere.example"}, "").text("userErrors.0.field.0"), "eventTypes")

	few := statementsOf(t, grace)
	for range 99 {
		lab.did("createWebhook", vars{"name": "Lab", "url": "https://partner.example", "eventTypes": []string{"MESSAGE_ADDED"}}, "")
	}
	check(t, "statements for many", statementsOf(t, grace), few)
	if said := lab.does("createWebhook", vars{"name": "Lab", "url": "https://partner.example", "eventTypes": []string{"MESSAGE_ADDED"}}, "").text("userErrors.0.code"); said != "TOO_MANY_WEBHOOKS" {
		t.Errorf("101 webhooks: %s", said)
	}
}

// statementsOf is how many statements the list of webhooks takes.
func statementsOf(t *testing.T, p *person) (least int) {
	t.Helper()
	for try := range 5 {
		ctx, counter := pgtest.Count(context.Background())
		p.must(p.world.asksUnder(ctx, p.at, p.token, `{ viewer { clinic { webhooks(first: 50) { nodes { id name state backlog serviceAccount { name } } } } } }`, nil))
		if n := counter.Statements(); try == 0 || n < least {
			least = n
		}
	}
	return least
}

// TestABacklogIsBounded fills one, and lets it go.
func TestABacklogIsBounded(t *testing.T) {
	t.Parallel()
	w, _, bob, lab := clinicWithPartner(t, "CONVERSATIONS_READ")
	to := receives(t)
	webhook, _ := lab.webhook(to, "MESSAGE_ADDED")
	group := bob.group("Case", lab.person)
	to.answer(failWith(http.StatusInternalServerError))
	first := bob.sends(group, "a")
	to.hears(1)
	db := w.database.Open()
	defer db.Close()
	const fill = `
		INSERT INTO webhook_deliveries (webhook_id, id, queue, place, kind, occurred_at)
		SELECT webhook_id, gen_random_uuid(), queue, n - 20000, 'WEBHOOK_TEST', now() FROM webhook_queues, generate_series(1, 9999) AS n`
	if _, err := db.Exec(fill); err != nil {
		t.Fatal(err)
	}
	second := bob.sends(group, "b")
	lab.waits(webhook, 10_001) // it was read before it was known to be full
	third := bob.sends(group, "c")
	bob.sends(group, "d")
	check(t, "no more is read", lab.is(webhook).number("backlog"), 10_001)

	if _, err := db.Exec(`DELETE FROM webhook_deliveries WHERE kind = 'WEBHOOK_TEST'`); err != nil {
		t.Fatal(err)
	}
	to.answer(nil)
	lab.did("resumeWebhook", vars{"webhookId": webhook}, "")
	got := to.waits("all", func(got []told) bool { return len(took(got)) == 4 })
	check(t, "in order", strings.HasPrefix(messages(took(got)), first+" "+second+" "+third), true)
}
