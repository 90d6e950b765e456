package torture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// counts are what must all be zero.
type counts struct {
	// Of lines: not heard, heard again, heard in another order, heard by somebody who may not see them.
	lost, doubled, reordered, leaked int
	// missing are messages that were acknowledged and are not in the log, or twice.
	missing int
	// late are the times that somebody did not hear everything in time after a fault's end.
	late int
	// reset are streams that asked to fetch everything again.
	reset int
	// found is what was found first, in words.
	found []string
}

func (c *counts) zero() bool {
	return c.lost+c.doubled+c.reordered+c.leaked+c.missing+c.late+c.reset == 0
}

func (c *counts) String() string {
	return fmt.Sprintf("lost %d, doubled %d, reordered %d, leaked %d, acknowledged and missing %d, late %d, reset %d",
		c.lost, c.doubled, c.reordered, c.leaked, c.missing, c.late, c.reset)
}

func (c *counts) find(format string, arguments ...any) {
	if len(c.found) < 10 {
		c.found = append(c.found, fmt.Sprintf(format, arguments...))
	}
}

type place struct {
	reader uuid.UUID
	// of is the id that the API has for the conversation.
	of string
}

// visible is what everybody could hear since they began to follow, by the log.
func (w *world) visible() (map[place][]line, error) {
	const query = `
		SELECT reader, conversations.id, messages.seq, messages.seq = opened_seq AS first, messages.seq = to_seq AS last
		FROM conversations
		JOIN spans ON spans.stream = conversations.stream
		JOIN messages ON conversation_id = conversations.id AND messages.seq BETWEEN opened_seq AND to_seq
		ORDER BY messages.seq`
	var rows []struct {
		Reader, ID  uuid.UUID
		Seq         int64
		First, Last bool
	}
	if err := w.db.Select(&rows, query); err != nil {
		return nil, err
	}
	conversations := map[uuid.UUID]*conversation{}
	for _, c := range w.conversations {
		conversations[c.id] = c
	}
	visible := map[place][]line{}
	additions := map[place]int64{}
	for _, row := range rows {
		c := conversations[row.ID]
		if row.Seq <= c.start {
			continue
		}
		at := place{row.Reader, c.node}
		l := line{said, row.Seq}
		switch {
		case row.First:
			l = line{added, additions[at]}
			additions[at]++
		case row.Last:
			l.kind = left
		}
		visible[at] = append(visible[at], l)
	}
	return visible, nil
}

// due is how many lines everybody could hear since they began to follow. It reads no lines, so that the
// time until they are heard is not that of a check which grows with the storm: nobody edits here, so
// lines have all the seqs of their conversation.
func (w *world) due() (map[place]int64, error) {
	const query = `
		SELECT reader, conversations.id, opened_seq AS first, LEAST(to_seq, last_seq) AS last
		FROM conversations JOIN spans ON spans.stream = conversations.stream`
	var rows []struct {
		Reader, ID  uuid.UUID
		First, Last int64
	}
	if err := w.db.Select(&rows, query); err != nil {
		return nil, err
	}
	conversations := map[uuid.UUID]*conversation{}
	for _, c := range w.conversations {
		conversations[c.id] = c
	}
	due := map[place]int64{}
	for _, row := range rows {
		c := conversations[row.ID]
		due[place{row.Reader, c.node}] += max(0, row.Last-max(row.First, c.start+1)+1)
	}
	return due, nil
}

// lags tells how much of what is due was not heard yet.
func (s *storm) lags(due map[place]int64) (behind int64) {
	for _, sub := range s.subscribers {
		for _, c := range s.conversations {
			behind += max(0, due[place{sub.person.id, c.node}]-int64(sub.knows(c.node)))
		}
	}
	return behind
}

// converges waits until everybody has heard what is due now, and returns how long that took.
func (s *storm) converges() time.Duration {
	s.t.Helper()
	began := time.Now()
	due, err := s.due()
	for err != nil {
		if time.Since(began) > patience {
			s.t.Fatalf("the log can't be read: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
		due, err = s.due()
	}
	for s.lags(due) > 0 && time.Since(began) < 2*s.within {
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// judges compares what everybody heard with what they may see.
func (s *storm) judges() {
	s.t.Helper()
	visible, err := s.visible()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, sub := range s.subscribers {
		s.reset += int(sub.resets.Load())
		sub.mu.Lock()
		for of := range sub.heard {
			if visible[place{sub.person.id, of}] == nil {
				visible[place{sub.person.id, of}] = []line{}
			}
		}
		for at, want := range visible {
			if at.reader == sub.person.id {
				s.compares(sub, at.of, sub.heard[at.of], want)
			}
		}
		sub.mu.Unlock()
	}
	var stored []uuid.UUID
	if err := s.db.Select(&stored, `SELECT id FROM messages WHERE kind = 'TEXT'`); err != nil {
		s.t.Fatal(err)
	}
	there := map[uuid.UUID]bool{}
	for _, id := range stored {
		there[id] = true
	}
	for id, times := range s.acknowledged {
		if !there[id] || times != 1 {
			s.missing++
			s.find("message %s was acknowledged %d times and is in the log: %t", id, times, there[id])
		}
	}
}

func (s *storm) compares(sub *subscriber, of string, heard, want []line) {
	if slices.Equal(heard, want) {
		return
	}
	before := s.counts
	wanted, times := map[line]bool{}, map[line]int{}
	for _, l := range want {
		wanted[l] = true
	}
	var highest int64
	for _, l := range heard {
		times[l]++
		switch {
		case !wanted[l]:
			s.leaked++
		case times[l] > 1:
			s.doubled++
		case l.kind != added && l.n < highest:
			s.reordered++
		case l.kind != added:
			highest = l.n
		}
	}
	for _, l := range want {
		if times[l] == 0 {
			s.lost++
		}
	}
	if before.lost+before.doubled+before.reordered+before.leaked == s.lost+s.doubled+s.reordered+s.leaked {
		s.reordered++ // an addition is in the wrong place
	}
	i := 0
	for i < len(heard) && i < len(want) && heard[i] == want[i] {
		i++
	}
	s.find("%s heard of %s from line %d on %v, could hear %v", sub.person.name, of, i, heard[i:min(i+4, len(heard))], want[i:min(i+4, len(want))])
}

// keptOrder asks the instances whether they found the log out of order.
func (s *storm) keptOrder() {
	s.t.Helper()
	for _, i := range s.instances {
		if n := i.metric("corridor_log_breaches_total"); n != 0 {
			s.t.Errorf("%v breaches of the log's order", n)
		}
	}
}

// table shows what the faults did, and how fast everybody had heard everything behind them.
func (s *storm) table() string {
	var table strings.Builder
	fmt.Fprintf(&table, "%-46s %6s %10s %10s\n", "fault", "times", "median", "longest")
	names := []string{}
	for name := range s.convergence {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		took := slices.Sorted(slices.Values(s.convergence[name]))
		fmt.Fprintf(&table, "%-46s %6d %10s %10s\n", name, len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	}
	deliveries, connections := 0, int64(0)
	var delays []time.Duration
	for _, sub := range s.subscribers {
		connections += sub.connections.Load()
		for _, heard := range sub.heard {
			deliveries += len(heard)
		}
		delays = append(delays, sub.delays...)
	}
	slices.SortFunc(delays, cmp.Compare[time.Duration])
	fmt.Fprintf(&table, "%d messages acknowledged (%d offered and not sent), %d changes of membership, %d retries\n",
		len(s.acknowledged), s.unsent.Load(), s.changes.Load(), s.retries.Load())
	fmt.Fprintf(&table, "%d deliveries to %d people, %d connections", deliveries, len(s.subscribers), connections)
	if n := len(delays); n > 0 {
		fmt.Fprintf(&table, ", from event to receipt p50 %s, p99 %s, longest %s",
			delays[n/2].Round(100*time.Microsecond), delays[n*99/100].Round(100*time.Microsecond), delays[n-1].Round(time.Millisecond))
	}
	fmt.Fprintf(&table, "\n%s\n", &s.counts)
	for _, found := range s.found {
		fmt.Fprintf(&table, "  %s\n", found)
	}
	return table.String()
}
