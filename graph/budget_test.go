package graph_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"corridor/internal/pgtest"
)

// newThriftyWorld has people with so many points a minute.
func newThriftyWorld(t *testing.T, points int) *world {
	t.Helper()
	return newWorldIn(t, pgtest.New(t), nil, func(w *world) { w.points = points })
}

// left is how many points the person has, before and behind the question, which costs one.
func (p *person) left() int {
	p.world.t.Helper()
	return p.sees(`{ rateLimit { remaining } }`, nil).number("rateLimit.remaining")
}

// spends asks for little until so many points are left.
func (p *person) spends(left int) {
	p.world.t.Helper()
	for p.left() > left {
	}
}

func TestWhoAskedEnoughWaitsForTheNextMinute(t *testing.T) {
	t.Parallel()
	w := newThriftyWorld(t, 20)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	ann.spends(0)

	ctx, counter := pgtest.Count(context.Background())
	refused := w.asksUnder(ctx, ann.at, ann.token, `{ viewer { name } }`, nil)

	check(t, "status", refused.status, http.StatusTooManyRequests)
	check(t, "code", refused.code(), "RATE_LIMITED")
	check(t, "nothing else", string(refused.Data), "null")
	check(t, "statements", counter.Statements(), 0)
	wait := refused.header.Get("Retry-After")
	seconds, err := strconv.Atoi(wait)
	if err != nil || seconds < 1 || seconds > 60 {
		t.Errorf("Retry-After is %q", wait)
	}
	check(t, "for programs", refused.Errors[0].Extensions["retryAfter"], any(float64(seconds)))
	check(t, "what is left", refused.header.Get("RateLimit"), `"person";r=0;t=`+wait)
	check(t, "of what", refused.header.Get("RateLimit-Policy"), `"person";q=20;w=60`)
	check(t, "Bob has his own", bob.asks(`{ viewer { name } }`, nil).code(), "")
	w.clock.passes(time.Duration(seconds)*time.Second - time.Second)
	if seconds > 1 {
		check(t, "a second too early", ann.asks(`{ viewer { name } }`, nil).code(), "RATE_LIMITED")
	}
	w.clock.passes(time.Second)
	check(t, "in the next minute", ann.left(), 19)
}

func TestWhatIsLeftIsShown(t *testing.T) {
	t.Parallel()
	w := newThriftyWorld(t, 100)
	ann := w.person("Ann Lee", "Front desk")
	before := ann.left()

	a := ann.asks(`{ rateLimit { limit cost remaining resetAt } viewer { contacts(first: 100) { nodes { name email } } } }`, nil)

	shown := ann.must(a)
	check(t, "limit", shown.number("rateLimit.limit"), 100)
	check(t, "cost", shown.number("rateLimit.cost"), 4) // of 308: a hundred times the node with its two fields, and what is around
	paged := ann.asks(`{ rateLimit { cost } viewer { contacts(first: 100) { nodes { name email } pageInfo { hasNextPage endCursor } eventCursor } } }`, nil)
	check(t, "what a page says of itself costs nothing", ann.must(paged).number("rateLimit.cost"), 4)
	bare := ann.asks(`{ rateLimit { cost } viewer { conversations(first: 100) { nodes { ... on Node { id } ... on GroupConversation { participants(first: 10) { pageInfo { hasNextPage } } } } } } }`, nil)
	check(t, "what is read costs something", ann.must(bare).number("rateLimit.cost"), 14)
	check(t, "remaining", shown.number("rateLimit.remaining"), before-4)
	resetAt, err := time.Parse(time.RFC3339, shown.text("rateLimit.resetAt"))
	left := resetAt.Sub(w.clock.now())
	if err != nil || left <= 0 || left > time.Minute {
		t.Errorf("it is reset at %s (%v), in %s", shown.text("rateLimit.resetAt"), err, left)
	}
	check(t, "header", a.header.Get("RateLimit"), fmt.Sprintf(`"person";r=%d;t=%d`, before-4, int((left+time.Second-1)/time.Second)))
	check(t, "no need to wait", a.header.Get("Retry-After"), "")
	for what, document := range map[string]string{
		"what can't be read": `{ viewer`, "what is not in the schema": `{ nobody }`, "what is not to be had like this": `subscription { groupDeleted { conversationId } }`,
		"what is too much": `{ viewer { contacts(first: 100) { nodes { sharedWaitingRooms(first: 100) { nodes { name id } edges { cursor } } } } } }`,
	} {
		before = ann.left()
		refused := ann.asks(document, nil)
		if len(refused.Errors) == 0 || refused.code() == "RATE_LIMITED" {
			t.Errorf("%s: %s", what, refused.body)
		}
		check(t, what+" costs one", refused.header.Get("RateLimit-Policy")+" "+strconv.Itoa(before-ann.left()-1), `"person";q=100;w=60 1`)
	}
	before = ann.left()
	schema := `{ __schema { types { name fields { name } } } }`
	get := ann.gets(schema)
	check(t, "by GET", get.Code, http.StatusOK)
	check(t, "the schema is not for nothing", get.Header().Get("RateLimit-Policy")+strconv.FormatBool(ann.left() < before-1), `"person";q=100;w=60true`)
	ann.spends(0)
	get = ann.gets(schema)
	check(t, "refused by GET", get.Code, http.StatusTooManyRequests)
	check(t, "how long", get.Header().Get("Retry-After") != "", true)
	check(t, "nor another way", get.Header().Get("Allow"), "")
}

// gets sends a query by GET.
func (p *person) gets(query string) *httptest.ResponseRecorder {
	p.world.t.Helper()
	request := httptest.NewRequest(http.MethodGet, "/graphql?query="+url.QueryEscape(query), nil)
	request.Header.Set("Authorization", "Bearer "+p.token)
	recorder := httptest.NewRecorder()
	p.at.handler.ServeHTTP(recorder, request)
	return recorder
}

func TestNothingIsDoneOfWhatCostsMoreThanIsLeft(t *testing.T) {
	t.Parallel()
	w := newThriftyWorld(t, 30)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	const document = `mutation ($input: CreateGroupInput!) { createGroup(input: $input) { group { participants(first: 100) { nodes { user { name } } } } } }`
	input := vars{"clientKey": newKey(), "name": "Case", "userIds": ids(people[1:])}
	ann.spends(3)

	refused := ann.asks(document, vars{"input": input})

	check(t, "refused", refused.code(), "RATE_LIMITED")
	check(t, "Bob sees", bob.lists("{}"), "")
	check(t, "what is small goes on", ann.left(), 1)
	w.clock.passes(time.Minute)
	check(t, "then it is done, with the same key", ann.asks(document, vars{"input": input}).code(), "")
	check(t, "Bob sees it", bob.lists("{}"), "Case")
}

func TestAStreamIsPaidForOnce(t *testing.T) {
	t.Parallel()
	w := newThriftyWorld(t, 60)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	stream := bob.follows()
	bob.spends(0)

	ann.sends(group, "one")
	ann.sends(group, "two")

	check(t, "what comes costs nothing", stream.hears()+"; "+stream.hears(), "Ann Lee: one; Ann Lee: two")
	refused := bob.subscribes(bob.token, eventsDocument, nil)
	refused.ends()
	check(t, "another stream", refused.failed.text("extensions.code"), "RATE_LIMITED")
	if wait := refused.failed.number("extensions.retryAfter"); wait < 1 || wait > 60 {
		t.Errorf("it comes again in %d seconds", wait)
	}
	check(t, "the socket stays", int(refused.closed.Code), 0)
	check(t, "by Server-Sent Events", bob.subscribesBySSE(bob.token, eventsDocument, nil).status, http.StatusTooManyRequests)
	ann.sends(group, "three")
	check(t, "the first goes on", stream.hears(), "Ann Lee: three")
	w.clock.passes(time.Minute)
	again := bob.follows()
	ann.sends(group, "four")
	check(t, "in the next minute", again.hears(), "Ann Lee: four")
}

func TestInstancesShareWhatOneMaySpend(t *testing.T) {
	t.Parallel()
	w := newThriftyWorld(t, 1000)
	w.instance()
	ann := w.person("Ann Lee", "Front desk")
	for range 300 {
		ann.left()
	}

	ann.at = w.instances[1]

	w.eventually("the second instance knows of the first", func() bool { return ann.left() < 700 })
	ann.spends(0)
	check(t, "the second refuses", ann.asks(`{ viewer { name } }`, nil).code(), "RATE_LIMITED")
	ann.at = w.instances[0]
	w.eventually("and the first", func() bool { return ann.asks(`{ viewer { name } }`, nil).code() == "RATE_LIMITED" })
}

func TestManyAtOnceSpendNoMoreThanThereIs(t *testing.T) {
	t.Parallel()
	w := newThriftyWorld(t, 50)
	ann := w.person("Ann Lee", "Front desk")
	left := ann.left()
	var answered, refused atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				switch a := ann.asks(`{ viewer { name } }`, nil); a.code() {
				case "":
					answered.Add(1)
				case "RATE_LIMITED":
					refused.Add(1)
				default:
					t.Error(a.body)
				}
			}
		})
	}
	all.Wait()

	check(t, "answered", int(answered.Load()), left)
	check(t, "refused", int(refused.Load()), 160-left)
}

func TestWithoutALimitNothingIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")

	a := ann.asks(`{ rateLimit { limit } viewer { name } }`, nil)

	check(t, "answer", string(a.Data), `{"rateLimit":null,"viewer":{"name":"Ann Lee"}}`)
	check(t, "headers", a.header.Get("RateLimit")+a.header.Get("RateLimit-Policy"), "")
}

func TestEachKeyHasABudgetOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newThriftyWorld(t, 60)
	ann := w.person("Ann Lee", "Desk").administers()
	for i := range 40 {
		w.enrol(home, fmt.Sprintf("Person %02d", i), "MA", "Desk")
	}
	w.importRoster(home)
	account := ann.serviceAccount("Dialer")
	one, two := ann.gives(account, "CONTACTS_READ"), ann.gives(account, "CONTACTS_READ")

	status, header, _ := one.exports("staff.csv")

	check(t, "status", status, http.StatusOK)
	check(t, "whose", header.Get("RateLimit-Policy"), `"key";q=60;w=60`)
	check(t, "a download costs what a query would", one.left(), 60-1-4-1) // 41 people, ten for a point
	one.spends(2)
	status, _, _ = one.exports("staff.csv")
	check(t, "what has begun is finished", status, http.StatusOK)
	status, header, body := one.exports("staff.csv")
	check(t, "the next is refused", status, http.StatusTooManyRequests)
	check(t, "in words", body, `{"errors":[{"message":"This is more than what is left to ask for in this minute. Try again later.","extensions":{"code":"RATE_LIMITED","retryAfter":`+header.Get("Retry-After")+`}}]}`+"\n")
	check(t, "for so long", header.Get("RateLimit"), `"key";r=0;t=`+header.Get("Retry-After"))
	check(t, "and queries", one.asks(`{ rateLimit { limit } }`, nil).code(), "RATE_LIMITED")
	check(t, "the other key goes on", two.left(), 59)
	w.clock.passes(time.Minute)
	check(t, "in the next minute", one.left(), 59)
}
