package main

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

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
	// spread is over how many days messages were sent; they end when the seed is made.
	spread = 9 * 24 * time.Hour
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
