package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/sync/errgroup"

	"corridor/internal/postgres"
	"corridor/migrations"
)

// size is how much there is of a clinic. There is a waiting room for each hundred of the staff.
type size struct {
	Staff, Conversations, Messages int
}

var (
	fullSize  = size{Staff: 50_000, Conversations: 20_000, Messages: 2_000_000}
	quickSize = size{Staff: 5_000, Conversations: 2_000, Messages: 200_000}
)

// tenth has a tenth of the data, and of the staff as far as books of contacts stay as large as they are.
func (s size) tenth() size {
	return size{Staff: max(min(s.Staff, house), s.Staff/10), Conversations: max(minConversations, s.Conversations/10), Messages: max(minMessages, s.Messages/10)}
}

func (s size) rooms() int { return max(5, s.Staff/100) }

func (s size) String() string {
	return fmt.Sprintf("%s staff, %d waiting rooms, %s conversations, %s messages",
		thousands(s.Staff), s.rooms(), thousands(s.Conversations), thousands(s.Messages))
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

func (s size) database() string {
	return fmt.Sprintf("seed_%d_%d_%d", s.Staff, s.Conversations, s.Messages)
}

const (
	// house is how many people of the staff have rooms of their own: 5 for each 500 of them. Each person is in 5 rooms of 500,
	// and by them has about 2,040 contacts. However many houses there are, books stay as they are.
	house = 5000
	// busy people are in all of the first groups, whose lists are read.
	busy = 8
	// listed is how many conversations they have, at most.
	listed = 200
	// wards are groups of wardSize people who are in no other ward.
	wards, wardSize = 50, 9
	// minConversations and minMessages have room for all of these and some more.
	minConversations, minMessages = 300, 6000
	// seedVersion changes with what the seeder writes.
	seedVersion = "corridor bench 1"
	// spread is over how many days messages were sent; they end when the seed is made. The feed keeps what is younger than 30
	// days, so a seed is made anew before that.
	spread, seedAge = 9 * 24 * time.Hour, 20 * 24 * time.Hour
)

var (
	firstNames = strings.Fields(`Ada Aisha Alan Amara Ana Andre Anna Arjun Ben Bianca Carla Carlos Chen Clara Dana Daniel David
		Elena Emil Emma Erik Fatima Felix Femi Gina Grace Hana Hugo Ida Ines Ivan Jack Jana Jonas Julia Karim Kofi Lara Lena Leo
		Lina Lucas Maria Marta Mei Milan Mina Nadia Nina Noah Olga Omar Oscar Paula Pedro Petra Priya Ravi Rosa Sam Sara Sofia
		Stefan Tara Theo Tomas Uma Vera Victor Wanda Yara Yusuf Zoe`)
	lastNames = strings.Fields(`Abbott Adler Ahmed Alvarez Anders Baker Banerjee Becker Bennett Berg Brandt Bruno Carter Castro
		Chavez Cohen Costa Dalton Diaz Dubois Eklund Ellis Evans Farkas Fischer Flores Fontaine Garcia Gibson Gomez Graham Haddad
		Hansen Harris Hassan Hoffman Ibrahim Iyer Jansen Jensen Johnson Kamara Keller Khan Kowalski Kramer Larsen Lindgren Lopez
		Lowe Mahmood Marino Martin Meyer Mensah Miller Moreau Morgan Nakamura Navarro Nguyen Novak Okafor Olsen Ortega Osman
		Parker Patel Pereira Petrov Quinn Rahman Ramirez Reyes Richter Robinson Romero Rossi Salazar Santos Schmidt Sharma Silva
		Singh Smirnov Sorensen Stein Suzuki Tanaka Thompson Torres Turner Ueda Vargas Vogel Walker Weber Williams Wolff Yamada
		Young Zapata Zhang Ziegler`)
	roles     = []string{"CSR", "MA", "Physician", "Nurse practitioner", "Practice Manager", "MA", "CSR", "Technician"}
	sentences = []string{
		"The lab results are in.", "Can you take window 2 from twelve to one?", "Room 3 is free again.",
		"I put the forms on your desk, two of them need a signature before noon.", "Thanks!", "On my way.",
		"The printer on the second floor eats every other sheet again, please use the one at the front desk until it is repaired.",
		"Who has the key of the storage room?", "The courier comes at four.", "Done.", "Please call me when you have a minute.",
		"The afternoon list is moved by half an hour, the team upstairs knows.", "We are out of gloves, size M.",
		"Good morning everybody! Dr. Keller is at the training today and back tomorrow.", "Ok, see you there.",
	}
)

// hash is a number that belongs to n and looks like chance.
func hash(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// idAt is the UUID, of version 7, of the n-th thing that was made.
func idAt(at time.Time, n uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|hash(n)&0xfff|0x7000)
	binary.BigEndian.PutUint64(id[8:], hash(^n)&(1<<62-1)|1<<63)
	return id
}

// nameOf and emailOf are of the n-th person. Addresses end with the number, so that each is another.
func nameOf(n int) string {
	return firstNames[hash(uint64(n))%uint64(len(firstNames))] + " " + lastNames[hash(uint64(n)<<20)%uint64(len(lastNames))]
}

func emailOf(n int) string {
	return strings.ToLower(strings.ReplaceAll(nameOf(n), " ", ".")) + "." + strconv.Itoa(n) + "@clinic.example"
}

// roomsOf are the waiting rooms of the n-th person: in each of five rows of rooms one, by another mix of the digits of n.
func roomsOf(n, staff int) (rooms [5]string) {
	in, n := n/house, n%house
	row := rowOf(staff)
	a, b, c, d := n%10, n/10%10, n/100%10, n/1000
	for k, at := range []int{a, b, c, a + b + c + 2*d, a + 3*b + 7*c + 3*d} {
		rooms[k] = fmt.Sprintf("Room %d-%d-%d", in+1, k+1, at%row+1)
	}
	return rooms
}

// rowOf is how many rooms there are in a row of a house: who is by so many apart shares the first room.
func rowOf(staff int) int { return max(1, min(house, staff)/500) }

// conversation is what is to be written of one.
type conversation struct {
	id     uuid.UUID
	stream int64
	direct bool
	name   string
	// members are numbers of people; the first began it.
	members []int32
	// weight is its share of the messages that are not given out otherwise, fixed is how many it has for sure.
	weight float64
	fixed  int
}

// conversationsOf plans the conversations of a clinic: one of 1,000 people, one of 100, those of the busy people, the wards,
// and for the rest groups of 3 to 12 who share a waiting room, and direct ones.
func conversationsOf(s size) []conversation {
	random := rand.New(rand.NewPCG(7, 7))
	all := make([]conversation, s.Conversations)
	row, within := rowOf(s.Staff), min(house, s.Staff)
	from := func(n, count, step int) (members []int32) {
		for k := range count {
			members = append(members, int32(n-n%within+(n+k*step)%within))
		}
		return members
	}
	busyGroups := min(listed, s.Conversations-100)
	deep, depth := max(4, s.Conversations/1000), 0
	depth = min(5000, s.Messages/(4*deep))
	for i := range all {
		c := &all[i]
		c.weight = 0.2 + random.ExpFloat64()
		switch n := i - 2; {
		case i == 0:
			c.name, c.members, c.weight, c.fixed = "Everybody", from(0, min(1000, s.Staff/5), 1), 0, 100
		case i == 1:
			c.name, c.members, c.weight, c.fixed = "Hundred", from(0, min(100, s.Staff), 1), 0, 100
		case n < busyGroups:
			c.name, c.members = fmt.Sprintf("Busy %03d", n), from(0, busy, 1)
			c.members = append(c.members, int32(busy+n%(within-busy-1)), int32(busy+n%(within-busy-1)+1))
			if n < deep {
				c.name, c.weight, c.fixed = fmt.Sprintf("Deep %03d", n), 0, depth
			} else {
				c.fixed = 5
			}
		case n < busyGroups+wards:
			ward := n - busyGroups
			c.name, c.members, c.weight, c.fixed = fmt.Sprintf("Ward %02d", ward), from(20+ward*wardSize, wardSize, 1), 0, 50
		case n%5 < 2:
			c.name, c.members, c.fixed = fmt.Sprintf("Group %05d", n), from(random.IntN(s.Staff), 3+random.IntN(10), row), 1
		default:
			c.direct, c.members = true, from(n*7919%s.Staff, 2, row*(1+n%37))
		}
	}
	return all
}

// past is all that was said at a clinic.
type past struct {
	people        []uuid.UUID // by their numbers
	conversations []conversation
	// order is which conversation each message belongs to, the oldest first.
	order      []int32
	begin, end time.Time
}

// newPast plans it, up to now.
func newPast(s size, people []uuid.UUID, now time.Time) *past {
	h := &past{people: people, conversations: conversationsOf(s), begin: now.Add(-spread).Truncate(time.Second), end: now}
	texts, rest, weights := s.Messages, s.Messages, 0.0
	for i := range h.conversations {
		c := &h.conversations[i]
		c.id = idAt(h.begin, uint64(i)<<32)
		if !c.direct {
			texts-- // the line that says who created it
		}
		rest -= c.fixed
		weights += c.weight
	}
	rest -= s.Messages - texts
	for i, c := range h.conversations {
		for range c.fixed + int(float64(rest)*c.weight/weights) {
			h.order = append(h.order, int32(i))
		}
	}
	for n := 0; len(h.order) < texts; n++ { // what rounding left
		h.order = append(h.order, int32(len(h.conversations)-1-n%50))
	}
	random := rand.New(rand.NewPCG(11, 11))
	random.Shuffle(len(h.order), func(i, j int) { h.order[i], h.order[j] = h.order[j], h.order[i] })
	return h
}

// line is one event of a conversation: its beginning, or a message.
type line struct {
	n      uint64
	of     int
	begins bool
	// seq is its place, texts how many messages there were until then.
	seq, texts int64
	sender     int // its place among the members
	id         uuid.UUID
	at         time.Time
}

// lines are all of them, in order: first all conversations begin.
func (h *past) lines() iter.Seq[line] {
	return func(yield func(line) bool) {
		seqs := make([]int64, len(h.conversations))
		for i := range h.conversations {
			seqs[i] = 1
			at := h.begin.Add(time.Duration(i) * time.Millisecond)
			if !yield(line{n: uint64(i), of: i, begins: true, seq: 1, id: idAt(at, uint64(i)), at: at}) {
				return
			}
		}
		from := h.begin.Add(time.Hour)
		each := h.end.Sub(from) / time.Duration(len(h.order)+1)
		for k, of := range h.order {
			n := uint64(k + len(h.conversations))
			seqs[of]++
			at := from.Add(time.Duration(k) * each)
			members := uint64(len(h.conversations[of].members))
			if !yield(line{n, int(of), false, seqs[of], seqs[of] - 1, int(hash(n) % members), idAt(at, n), at}) {
				return
			}
		}
	}
}

func (l line) body() string {
	body := sentences[hash(l.n)>>8%uint64(len(sentences))]
	if hash(l.n)>>40%3 == 0 {
		body += " " + sentences[hash(l.n)>>48%uint64(len(sentences))]
	}
	return body
}

func (l line) clientKey() string { return idAt(l.at, l.n<<1|1<<63).String() }

// seeder makes databases to measure on.
type seeder struct {
	binary string
	server *postgres.Server
	admin  *sqlx.DB
	env    []string
	report func(format string, args ...any)
}

// database returns the name of a database with so much data, which is made unless it is there.
func (s *seeder) database(ctx context.Context, size size) (name string, err error) {
	name = size.database()
	if s.isGood(ctx, name) {
		s.report("the data is there from before: %s", size)
		return name, nil
	}
	began := time.Now()
	s.report("making the data, once: %s", size)
	if err := s.create(ctx, name, ""); err != nil {
		return "", err
	}
	if err := s.fill(ctx, name, size); err != nil {
		return "", fmt.Errorf("make the data: %w", err)
	}
	note := seedVersion + " " + time.Now().UTC().Format(time.RFC3339)
	if _, err := s.admin.ExecContext(ctx, `COMMENT ON DATABASE `+name+` IS `+pq.QuoteLiteral(note)); err != nil {
		return "", err
	}
	s.report("made the data in %s", time.Since(began).Round(time.Second))
	return name, nil
}

// isGood tells whether a database was made to its end, lately, and for the tables as they are.
func (s *seeder) isGood(ctx context.Context, name string) bool {
	const query = `SELECT COALESCE(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = $1`
	var note string
	if err := s.admin.GetContext(ctx, &note, query, name); err != nil {
		return false
	}
	made, err := time.Parse(time.RFC3339, strings.TrimPrefix(note, seedVersion+" "))
	if err != nil || time.Since(made) > seedAge {
		return false
	}
	db, err := postgres.Open(ctx, databaseURL(s.server, name))
	if err != nil {
		return false
	}
	defer db.Close()
	pending, err := postgres.Pending(ctx, db, migrations.Files)
	return err == nil && pending == 0
}

// create makes a database anew, as a copy of another one if that is named.
func (s *seeder) create(ctx context.Context, name, template string) error {
	if err := s.drop(ctx, name); err != nil {
		return err
	}
	query := `CREATE DATABASE ` + name
	if template != "" {
		query += ` TEMPLATE ` + template + ` STRATEGY file_copy`
	}
	_, err := s.admin.ExecContext(ctx, query)
	return err
}

func (s *seeder) drop(ctx context.Context, name string) error {
	_, err := s.admin.ExecContext(ctx, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`)
	return err
}

// fill has the program itself make the tables and take in the staff, and then writes what was said.
func (s *seeder) fill(ctx context.Context, name string, size size) error {
	url := databaseURL(s.server, name)
	roster, err := writeRoster(size)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(roster))
	s.report("  the staff and their waiting rooms, by corridor roster import")
	for _, arguments := range [][]string{
		{"migrate"},
		{"roster", "import", roster, "--clinic", "Clinic"},
		{"clinic", "set", "Clinic", "--group-size-limit", "1000"},
	} {
		if err := runs(ctx, s.binary, append(s.env, "DATABASE_URL="+url), arguments...); err != nil {
			return err
		}
	}
	for _, setting := range []string{`ALTER SYSTEM SET max_wal_size = '8GB'`, `SELECT pg_reload_conf()`} {
		if _, err := s.admin.ExecContext(ctx, setting); err != nil {
			return err
		}
	}
	defer func() {
		_, _ = s.admin.ExecContext(context.WithoutCancel(ctx), `ALTER SYSTEM RESET max_wal_size`)
		_, _ = s.admin.ExecContext(context.WithoutCancel(ctx), `SELECT pg_reload_conf()`)
	}()
	// Nothing is checked against other tables, and nothing waits for the disk: a seed that was broken off is made anew.
	db, err := postgres.Open(ctx, url+"&session_replication_role=replica&synchronous_commit=off&maintenance_work_mem=256MB")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := s.write(ctx, db, size); err != nil {
		return err
	}
	if err := s.check(ctx, db, size); err != nil {
		return err
	}
	s.report("  VACUUM and ANALYZE")
	for _, query := range []string{`VACUUM (FREEZE, ANALYZE)`, `CHECKPOINT`} {
		if _, err := db.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// writeRoster writes the staff to a file.
func writeRoster(size size) (name string, err error) {
	dir, err := os.MkdirTemp("", "corridor-bench-")
	if err != nil {
		return "", err
	}
	var roster strings.Builder
	roster.WriteString("email,name,role,waiting_rooms\n")
	for n := range size.Staff {
		rooms := roomsOf(n, size.Staff)
		fmt.Fprintf(&roster, "%s,%s,%s,%s\n", emailOf(n), nameOf(n), roles[n%len(roles)], strings.Join(rooms[:], ";"))
	}
	name = filepath.Join(dir, "roster.csv")
	return name, os.WriteFile(name, []byte(roster.String()), 0o600)
}

// write writes all that people have said, as the program would have.
func (s *seeder) write(ctx context.Context, db *sqlx.DB, size size) error {
	clinic, people, err := staffIn(ctx, db, size)
	if err != nil {
		return err
	}
	h := newPast(size, people, time.Now())
	var streams, numbered int64
	if err := db.GetContext(ctx, &streams, `SELECT max(number) FROM streams`); err != nil {
		return err
	}
	for i := range h.conversations {
		h.conversations[i].stream = streams + 1 + int64(i)
	}
	// The feed, as the program numbers it: first what came of the roster.
	const number = `
		WITH taken AS (DELETE FROM unnumbered RETURNING stream, seq), added AS (
			INSERT INTO feed (pos, stream, seq)
			SELECT head + row_number() OVER (ORDER BY stream, seq), stream, seq FROM taken, feed_state
			RETURNING pos
		)
		SELECT COALESCE(max(pos), (SELECT head FROM feed_state)) FROM added`
	if err := db.GetContext(ctx, &numbered, number); err != nil {
		return fmt.Errorf("number the roster's events: %w", err)
	}
	restore, err := withoutIndexes(ctx, db, "messages", "client_keys", "events", "feed")
	if err != nil {
		return err
	}
	total := 4 * (len(h.order) + len(h.conversations))
	var written atomic.Int64
	stop := s.progress("  messages, keys, events and the feed", &written, total)
	group, copying := errgroup.WithContext(ctx)
	for _, table := range h.tables(clinic, numbered) {
		group.Go(func() error { return copyIn(copying, db, table, &written) })
	}
	err = group.Wait()
	stop()
	if err != nil {
		return err
	}
	s.report("  indexes")
	if err := restore(); err != nil {
		return err
	}
	if err := h.writeConversations(ctx, db, clinic); err != nil {
		return err
	}
	for _, query := range []string{
		`SELECT setval(pg_get_serial_sequence('streams', 'number'), max(number)) FROM streams`,
		`UPDATE feed_state SET head = (SELECT max(pos) FROM feed)`,
	} {
		if _, err := db.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// staffIn returns the people of the only clinic by their numbers.
func staffIn(ctx context.Context, db *sqlx.DB, size size) (clinic uuid.UUID, people []uuid.UUID, err error) {
	rows, err := db.QueryContext(ctx, `SELECT clinic_id, id, email FROM users`)
	if err != nil {
		return clinic, nil, err
	}
	defer rows.Close()
	people = make([]uuid.UUID, size.Staff)
	for rows.Next() {
		var id uuid.UUID
		var email string
		if err := rows.Scan(&clinic, &id, &email); err != nil {
			return clinic, nil, err
		}
		name, _, _ := strings.Cut(email, "@")
		n, err := strconv.Atoi(name[strings.LastIndexByte(name, '.')+1:])
		if err != nil || n < 0 || n >= size.Staff {
			return clinic, nil, errors.New("there is somebody who is not of the roster")
		}
		people[n] = id
	}
	return clinic, people, rows.Err()
}

// table is what is copied into one.
type table struct {
	name    string
	columns []string
	rows    func(add func(values ...any) error) error
}

// tables are what comes of each line: the line itself, the key of the call that wrote it, its event, and its place in the feed.
func (h *past) tables(clinic uuid.UUID, numbered int64) []table {
	each := func(values func(l line, c *conversation, sender uuid.UUID) []any) func(add func(...any) error) error {
		return func(add func(...any) error) error {
			for l := range h.lines() {
				c := &h.conversations[l.of]
				if row := values(l, c, h.people[c.members[l.sender]]); row != nil {
					if err := add(row...); err != nil {
						return err
					}
				}
			}
			return nil
		}
	}
	return []table{
		{
			"messages",
			[]string{"id", "conversation_id", "seq", "kind", "sender_id", "body", "client_key", "text_count", "sent_at"},
			each(func(l line, c *conversation, sender uuid.UUID) []any {
				switch {
				case !l.begins:
					return []any{l.id.String(), c.id.String(), l.seq, "TEXT", sender.String(), l.body(), l.clientKey(), l.texts, l.at}
				case c.direct:
					return nil
				}
				return []any{l.id.String(), c.id.String(), l.seq, "GROUP_CREATED", sender.String(), c.name, nil, 0, l.at}
			}),
		},
		{
			"client_keys",
			[]string{"user_id", "key", "operation", "fingerprint", "result", "created_at"},
			each(func(l line, c *conversation, sender uuid.UUID) []any {
				operation, result := "sendMessage", l.id
				switch {
				case l.begins && c.direct:
					operation, result = "startDirectConversation", c.id
				case l.begins:
					operation, result = "createGroup", c.id
				}
				fingerprint := sha256.Sum256(l.id[:])
				return []any{sender.String(), l.clientKey(), operation, fingerprint[:], `"` + result.String() + `"`, l.at}
			}),
		},
		{
			"events",
			[]string{"stream", "seq", "kind", "actor", "scope", "object", "opens", "occurred_at"},
			each(func(l line, c *conversation, sender uuid.UUID) []any {
				kind, object, opens := "line", any(l.id.String()), any(nil)
				if l.begins {
					opens = "{" + strings.Join(h.membersOf(c), ",") + "}"
				}
				if l.begins && c.direct {
					kind, object = "direct_started", nil
				}
				return []any{c.stream, l.seq, kind, sender.String(), c.id.String(), object, opens, l.at}
			}),
		},
		{
			"feed",
			[]string{"pos", "stream", "seq", "numbered_at"},
			each(func(l line, c *conversation, _ uuid.UUID) []any {
				return []any{numbered + 1 + int64(l.n), c.stream, l.seq, l.at}
			}),
		},
	}
}

func (h *past) membersOf(c *conversation) []string {
	ids := make([]string, len(c.members))
	for k, n := range c.members {
		ids[k] = h.people[n].String()
	}
	return ids
}

// writeConversations writes what the conversations have become: everybody has read up to what they sent last.
func (h *past) writeConversations(ctx context.Context, db *sqlx.DB, clinic uuid.UUID) error {
	last := make([]line, len(h.conversations))
	read := make([][]line, len(h.conversations))
	for i, c := range h.conversations {
		read[i] = make([]line, len(c.members))
	}
	for l := range h.lines() {
		last[l.of] = l
		if !l.begins {
			read[l.of][l.sender] = l
		}
	}
	each := func(row func(i int, c *conversation, add func(...any) error) error) func(add func(...any) error) error {
		return func(add func(...any) error) error {
			for i := range h.conversations {
				if err := row(i, &h.conversations[i], add); err != nil {
					return err
				}
			}
			return nil
		}
	}
	var written atomic.Int64
	for _, table := range []table{
		{"streams", []string{"number", "head"}, each(func(i int, c *conversation, add func(...any) error) error {
			return add(c.stream, last[i].seq)
		})},
		{
			"conversations",
			[]string{"id", "clinic_id", "kind", "stream", "name", "owner_id", "first_user_id", "second_user_id", "created_at", "last_seq", "last_activity_at", "text_count"},
			each(func(i int, c *conversation, add func(...any) error) error {
				kind, name, owner, first, second, seq := "GROUP", any(c.name), any(h.people[c.members[0]].String()), any(nil), any(nil), last[i].seq
				if c.direct {
					ids := h.membersOf(c)
					kind, name, owner, first, second = "DIRECT", nil, nil, min(ids[0], ids[1]), max(ids[0], ids[1])
					if last[i].begins {
						seq = 0
					}
				}
				return add(c.id.String(), clinic.String(), kind, c.stream, name, owner, first, second, h.begin, seq, last[i].at, last[i].texts)
			}),
		},
		{
			"participants",
			[]string{"id", "conversation_id", "user_id", "joined_at", "read_seq", "read_text_count"},
			each(func(i int, c *conversation, add func(...any) error) error {
				for k, n := range c.members {
					id := idAt(h.begin, uint64(i)<<32|uint64(k)<<8|1<<62)
					if err := add(id.String(), c.id.String(), h.people[n].String(), h.begin, read[i][k].seq, read[i][k].texts); err != nil {
						return err
					}
				}
				return nil
			}),
		},
		{"spans", []string{"reader", "stream", "from_seq", "opened_seq"}, each(func(_ int, c *conversation, add func(...any) error) error {
			for _, n := range c.members {
				if err := add(h.people[n].String(), c.stream, 1, 1); err != nil {
					return err
				}
			}
			return nil
		})},
	} {
		if err := copyIn(ctx, db, table, &written); err != nil {
			return err
		}
	}
	return nil
}

// copyIn copies rows into a table, in one transaction.
func copyIn(ctx context.Context, db *sqlx.DB, into table, written *atomic.Int64) error {
	err := postgres.InTx(ctx, db, func(tx *sqlx.Tx) error {
		statement, err := tx.PrepareContext(ctx, `COPY `+into.name+` (`+strings.Join(into.columns, `, `)+`) FROM STDIN`)
		if err != nil {
			return err
		}
		if err := into.rows(func(values ...any) error {
			written.Add(1)
			_, err := statement.ExecContext(ctx, values...)
			return err
		}); err != nil {
			return err
		}
		if _, err := statement.ExecContext(ctx); err != nil { // the end of the data
			return err
		}
		return statement.Close()
	})
	if err != nil {
		return fmt.Errorf("copy into %s: %w", into.name, err)
	}
	return nil
}

// withoutIndexes takes away the indexes of tables, but for those that foreign keys need, and returns how to make them again.
func withoutIndexes(ctx context.Context, db *sqlx.DB, tables ...string) (restore func() error, err error) {
	const query = `
		SELECT indrelid::regclass::text AS table_name, indexrelid::regclass::text AS index_name, COALESCE(conname, '') AS constraint_name,
			CASE WHEN conname IS NULL THEN pg_get_indexdef(indexrelid) ELSE pg_get_constraintdef(owner.oid) END AS definition
		FROM pg_index LEFT JOIN pg_constraint AS owner ON owner.conindid = indexrelid AND owner.contype IN ('p', 'u', 'x')
		WHERE indrelid = ANY ($1::regclass[])
			AND NOT EXISTS (SELECT FROM pg_constraint AS foreign_key WHERE foreign_key.conindid = indexrelid AND foreign_key.contype = 'f')
		ORDER BY indexrelid`
	var indexes []struct {
		Table      string `db:"table_name"`
		Index      string `db:"index_name"`
		Constraint string `db:"constraint_name"`
		Definition string
	}
	if err := db.SelectContext(ctx, &indexes, query, pq.Array(tables)); err != nil {
		return nil, err
	}
	for _, index := range indexes {
		query := `DROP INDEX ` + index.Index
		if index.Constraint != "" {
			query = `ALTER TABLE ` + index.Table + ` DROP CONSTRAINT ` + index.Constraint
		}
		if _, err := db.ExecContext(ctx, query); err != nil {
			return nil, err
		}
	}
	return func() error {
		group, ctx := errgroup.WithContext(ctx)
		for _, table := range tables {
			group.Go(func() error {
				for _, index := range indexes {
					if index.Table != table {
						continue
					}
					query := index.Definition
					if index.Constraint != "" {
						query = `ALTER TABLE ` + index.Table + ` ADD CONSTRAINT ` + index.Constraint + ` ` + index.Definition
					}
					if _, err := db.ExecContext(ctx, query); err != nil {
						return fmt.Errorf("make the indexes of %s: %w", table, err)
					}
				}
				return nil
			})
		}
		return group.Wait()
	}, nil
}

// progress reports every few seconds how much is done.
func (s *seeder) progress(what string, done *atomic.Int64, total int) (stop func()) {
	ended := make(chan struct{})
	go func() {
		every := time.NewTicker(5 * time.Second)
		defer every.Stop()
		for {
			select {
			case <-ended:
				return
			case <-every.C:
				s.report("%s: %d of 100 %%", what, 100*done.Load()/int64(total))
			}
		}
	}()
	s.report("%s", what)
	return func() { close(ended) }
}

// check tells whether the tables hold what they should.
func (s *seeder) check(ctx context.Context, db *sqlx.DB, size size) error {
	const query = `
		SELECT (SELECT count(*) FROM users) AS staff, (SELECT count(*) FROM waiting_rooms) AS rooms,
			(SELECT count(*) FROM conversations) AS conversations, (SELECT count(*) FROM messages) AS messages,
			(SELECT count(*) FROM unnumbered) AS unnumbered, (SELECT count(*) FROM events) - (SELECT count(*) FROM feed) AS unfed,
			(SELECT max(pos) FROM feed) - (SELECT head FROM feed_state) AS ahead`
	var has struct{ Staff, Rooms, Conversations, Messages, Unnumbered, Unfed, Ahead int }
	if err := db.GetContext(ctx, &has, query); err != nil {
		return err
	}
	if has.Staff != size.Staff || has.Rooms != size.rooms() || has.Conversations != size.Conversations || has.Messages != size.Messages ||
		has.Unnumbered != 0 || has.Unfed != 0 || has.Ahead != 0 {
		return fmt.Errorf("the data is not what it should be (%+v)", has)
	}
	return nil
}
