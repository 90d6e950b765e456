package graph_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"corridor/internal/chat"
	"corridor/internal/pgtest"
)

// growing is a clinic that becomes ten times as large around Ann: in staff whom she does not know, in what they write, and in what
// was written in her own conversations. Her contacts and the number of her conversations stay.
type growing struct {
	*world
	server *pgtest.Server
	db     *sqlx.DB
	ann    *person
	// friends are fifty of her contacts.
	friends   []*person
	strangers int
	grown     bool
	// few and many are groups of five, and of ten times as many.
	few, many string
}

func newGrowing(t *testing.T) *growing {
	t.Helper()
	server := pgtest.NewExplaining(t)
	c := &growing{world: newWorldIn(t, server.Database, nil), server: server, db: server.Open()}
	c.ann = c.enrol(home, "Ann Lee", "MA", "Desk")
	for i := range 50 {
		c.friends = append(c.friends, c.enrol(home, fmt.Sprintf("Friend %02d", i), "MA", "Desk"))
	}
	c.hires(500)
	c.few, c.many = c.ann.group("Few", c.friends[:4]...), c.ann.group("Many", c.friends[:49]...)
	for i := range 40 {
		c.ann.group(fmt.Sprintf("Case %02d", i), c.friends[i:i+5]...)
	}
	c.writes(40)
	return c
}

// grows makes it ten times as large.
func (c *growing) grows() {
	c.t.Helper()
	c.grown = true
	c.hires(9 * c.strangers)
	c.writes(9 * 40)
}

// hires brings as many more people into rooms of their own, where they write to each other.
func (c *growing) hires(strangers int) {
	c.t.Helper()
	c.strangers += strangers
	var rows []chat.RosterRow
	for _, p := range c.clinics[home] {
		rows = append(rows, chat.RosterRow{Email: p.email, Name: p.name, Role: p.role, WaitingRooms: p.rooms})
	}
	for i := range 150 {
		rows = append(rows, chat.RosterRow{Email: fmt.Sprintf("b%d@lakeside.example", i), Name: fmt.Sprintf("Book %03d", i), Role: "MA", WaitingRooms: []string{"Desk"}})
	}
	for i := range c.strangers {
		rows = append(rows, chat.RosterRow{
			Email: fmt.Sprintf("s%d@lakeside.example", i), Name: fmt.Sprintf("Friendly Stranger %d", i), Role: "MA", WaitingRooms: []string{fmt.Sprintf("Room %d", i/10)},
		})
	}
	quiet := func(string, int, int) {}
	if _, err := c.instances[0].chat.ImportRoster(context.Background(), chat.ImportRosterInput{Clinic: home, Rows: rows, Progress: quiet}); err != nil {
		c.t.Fatal(err)
	}
	c.identify(home)
	c.inBulk(`
		CREATE TEMP TABLE talks ON COMMIT DROP AS
		SELECT gen_random_uuid() AS id, clinic_id, nextval(pg_get_serial_sequence('streams', 'number')) AS stream, id AS first, next AS second
		FROM (
			SELECT id, clinic_id, lead(id) OVER (ORDER BY id) AS next FROM users
			WHERE name LIKE 'Friendly Stranger %' AND NOT EXISTS (SELECT FROM participants WHERE user_id = users.id)
		) AS strangers WHERE next IS NOT NULL`,
		`INSERT INTO streams (number, head) OVERRIDING SYSTEM VALUE SELECT stream, 0 FROM talks`,
		`INSERT INTO conversations (id, clinic_id, kind, stream, first_user_id, second_user_id)
		SELECT id, clinic_id, 'DIRECT', stream, first, second FROM talks`,
		`CREATE TEMP TABLE members ON COMMIT DROP AS
		SELECT id, stream, person FROM talks CROSS JOIN LATERAL (VALUES (first), (second)) AS both_of (person)`,
		`INSERT INTO participants (id, conversation_id, user_id) SELECT gen_random_uuid(), id, person FROM members`,
		`INSERT INTO spans (reader, stream, from_seq, opened_seq) SELECT person, stream, 1, 1 FROM members`,
		lines(`SELECT id FROM talks`, 5),
	)
}

// writes puts so many more lines into each of Ann's conversations.
func (c *growing) writes(n int) {
	c.t.Helper()
	c.inBulk(lines(`SELECT conversation_id FROM participants WHERE user_id = `+pq.QuoteLiteral(c.ann.userID.UUID.String()), n))
	c.eventually("all is in the feed", func() bool {
		var rest int
		return c.db.Get(&rest, `SELECT count(*) FROM unnumbered`) == nil && rest == 0
	})
	c.db.MustExec(`VACUUM ANALYZE`)
}

// lines is the statement that puts n lines, and their events, into conversations.
func lines(conversations string, n int) string {
	return fmt.Sprintf(`
		WITH counted AS (
			UPDATE conversations SET last_seq = head + %[2]d, text_count = text_count + %[2]d
			FROM streams WHERE number = stream AND id IN (%[1]s)
			RETURNING id, stream, head, text_count - %[2]d AS texts, COALESCE(owner_id, first_user_id) AS sender
		), written AS (
			SELECT gen_random_uuid() AS message, id, stream, head + n AS seq, texts + n AS text_count, sender
			FROM counted, generate_series(1, %[2]d) AS n
		), moved AS (
			UPDATE streams SET head = streams.head + %[2]d FROM counted WHERE number = stream
		), told AS (
			INSERT INTO events (stream, seq, kind, actor, scope, object) SELECT stream, seq, 'line', sender, id, message FROM written
		), waiting AS (
			INSERT INTO unnumbered (stream, seq) SELECT stream, seq FROM written
		)
		INSERT INTO messages (id, conversation_id, seq, kind, sender_id, body, text_count)
		SELECT message, id, seq, 'TEXT', sender, 'hello', text_count FROM written`, conversations, n)
}

func (c *growing) inBulk(statements ...string) {
	c.t.Helper()
	tx := c.db.MustBegin()
	defer tx.Rollback() //nolint:errcheck // it is committed below
	// No foreign keys, for the rows fit; and nobody wants to know how it ran.
	quietly := []string{`SET LOCAL session_replication_role = replica`, `SET LOCAL auto_explain.log_min_duration = -1`}
	for _, statement := range append(quietly, statements...) {
		if _, err := tx.Exec(statement); err != nil {
			c.t.Fatalf("%v in %s", err, statement)
		}
	}
	if err := tx.Commit(); err != nil {
		c.t.Fatal(err)
	}
}

// cost is what each statement of a work does.
type cost map[string]did

type did struct{ times, buffers, rows int }

func (d did) and(r did) did { return did{d.times + r.times, d.buffers + r.buffers, d.rows + r.rows} }

func (c cost) all() (all did) {
	for _, one := range c {
		all = all.and(one)
	}
	return all
}

// clockwork is what the program does ten times a second if anything was sent, behind the answers and for all messages together: it
// rings and numbers, and follows the feed.
var clockwork = regexp.MustCompile(`pg_notify|FROM unnumbered|\bfeed(_state)?\b`)

// costs does a work until its statements are planned for good, and returns the least that it took then: other things that the
// program does are in some of the tries only. No table that grows with a clinic may be read from end to end.
func (c *growing) costs(name string, work func()) (least cost) {
	c.t.Helper()
	for try := range 12 {
		now := cost{}
		for _, r := range c.server.Ran(work) {
			if !clockwork.MatchString(r.Query) {
				now[r.Query] = now[r.Query].and(did{1, r.Buffers, r.Rows})
			}
			for _, table := range r.Whole {
				if c.grown && slices.Contains(growingTables, table) {
					c.t.Fatalf("%s reads all %s:\n%s\n%s", name, table, r.Query, r.Plan)
				}
			}
		}
		if try == 6 {
			least = now
		}
		for query, was := range least {
			if is, again := now[query]; again {
				least[query] = did{min(was.times, is.times), min(was.buffers, is.buffers), min(was.rows, is.rows)}
			} else {
				delete(least, query)
			}
		}
	}
	return least
}

var growingTables = strings.Fields("users waiting_room_members conversations participants spans messages streams events feed")

// The works that people wait for, in a small clinic and in one of ten times the size; to more members; and to more who follow.
func TestWorkDoesNotGrowWithTheClinic(t *testing.T) {
	t.Parallel()
	c := newGrowing(t)
	asks := func(document string, variables vars) func() { return func() { c.ann.sees(document, variables) } }
	const history = `query ($id: ID!, $before: Cursor) { node(id: $id) { ... on Conversation { messages(last: 50, before: $before) { nodes { id seq text sentAt sender { name } } } } } }`
	const search = `query ($query: String!) { viewer { contacts(first: 20, query: $query) { nodes { name email } } } }`
	early := c.ann.looksAt(c.many, "messages(first: 60) { pageInfo { endCursor } }").text("messages.pageInfo.endCursor")
	works := []struct {
		name string
		// statements are how many it takes, with the one that asks who is asking and those of foreign keys.
		statements int
		do         func()
	}{
		{"to send", 7, func() { c.ann.sends(c.few, "hello") }},
		{"to list conversations", 8, asks(`{ viewer { conversations(first: 20) { nodes { `+aConversation+` } } } }`, nil)},
		{"the newest of a history", 4, asks(history, vars{"id": c.many})},
		{"the depth of a history", 4, asks(history, vars{"id": c.many, "before": early})},
		{"to search by a piece of a name", 2, asks(search, vars{"query": "frien"})},
		{"to search by two letters", 2, asks(search, vars{"query": "fr"})},
		{"to search by a piece of an e-mail address", 2, asks(search, vars{"query": "friend.1"})},
	}
	small := make([]cost, len(works))
	for i, work := range works {
		small[i] = c.costs(work.name, work.do)
	}

	c.grows()

	for i, work := range works {
		large := c.costs(work.name, work.do)
		isFlat(t, work.name, small[i], large, 1, 0)
		takes(t, work.name, large, large.all().times, work.statements)
	}
	isFlat(t, "to send to ten times as many", c.costs("to send to a few", works[0].do), c.costs("to send to many", func() { c.ann.sends(c.many, "hello") }), 1, 0)

	var streams []*stream
	delivers := func() {
		c.ann.sends(c.many, "hello")
		for _, s := range streams {
			if heard := s.hears(); heard != "Ann Lee: hello" {
				t.Errorf("somebody heard %q", heard)
			}
		}
	}
	for _, p := range c.friends[:4] {
		streams = append(streams, p.follows())
	}
	few := c.costs("to deliver to a few", delivers)
	// Those of a send, one of which runs twice, and how the readers stand to the conversation. Who comes later than the others has it run again.
	takes(t, "to deliver", few, len(few), works[0].statements-1+1)
	for _, p := range c.friends[4:40] {
		streams = append(streams, p.follows())
	}
	// What each may see is looked up for each, by as many statements.
	isFlat(t, "to deliver to ten times as many", few, c.costs("to deliver to many", delivers), 10, 5)
}

// isFlat checks that a cost did not grow, but for the height of indexes, and for which of two indexes suits a few rows. Each statement may touch so many
// times as much, and run so many times more.
func isFlat(t *testing.T, name string, before, now cost, as, again int) {
	t.Helper()
	t.Logf("%s: %+v became %+v", name, before.all(), now.all())
	if len(now) == 0 {
		t.Errorf("%s: nothing was asked", name)
	}
	for query, is := range now {
		was := before[query]
		if is.times > was.times+again || is.buffers > as*(2*was.buffers+40) || is.rows > as*(was.rows*3/2+60) {
			t.Errorf("%s: %+v became %+v in\n%s", name, was, is, query)
		}
	}
}

// takes checks that so many statements are not more than they were.
func takes(t *testing.T, name string, what cost, statements, most int) {
	t.Helper()
	if statements > most {
		t.Errorf("%s takes %d statements, and took %d:\n%s", name, statements, most, strings.Join(slices.Collect(maps.Keys(what)), "\n"))
	}
}
