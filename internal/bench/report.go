package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// result is all that a run found.
type result struct {
	Began time.Time `json:"began"`
	Took  string    `json:"took"`
	// Program is the revision that the program was built from.
	Program string   `json:"program"`
	Data    string   `json:"data"`
	Rounds  int      `json:"rounds"`
	Lasts   string   `json:"lasts"`
	Machine machine  `json:"machine"`
	Works   []tested `json:"works"`
	// Curve is of sends at more and more messages a second.
	Curve   []figures `json:"curve,omitempty"`
	Growths []growth  `json:"growths,omitempty"`
}

// tested is what was found of one work.
type tested struct {
	Name      string      `json:"name"`
	Title     string      `json:"title"`
	Operation string      `json:"operation"`
	Machine   machine     `json:"machine"`
	Sides     []sideFound `json:"sides"`
	Targets   []verdict   `json:"targets"`
}

type sideFound struct {
	Name    string    `json:"name"`
	Medians figures   `json:"medians"`
	Rounds  []figures `json:"rounds"`
}

func (t tested) side(name string) figures {
	for _, side := range t.Sides {
		if side.Name == name {
			return side.Medians
		}
	}
	return figures{Rate: unknown, P50: unknown, P99: unknown, ServerCPU: unknown, PostgresCPU: unknown, Memory: unknown}
}

// target is what a work should reach.
type target struct {
	work, what string
	// atMost or atLeast is the bound.
	atMost, atLeast float64
	value           func(all map[string]tested) float64
}

// ofLimit is the ratio of a figure to that of the limit.
func ofLimit(work string, figure func(figures) float64) func(map[string]tested) float64 {
	return func(all map[string]tested) float64 {
		ours, theirs := figure(all[work].side(program)), figure(all[work].side(limit))
		if ours < 0 || theirs <= 0 {
			return unknown
		}
		return ours / theirs
	}
}

// ofOffered is how much of what was offered was done.
func ofOffered(work string) func(map[string]tested) float64 {
	return func(all map[string]tested) float64 {
		is := all[work].side(program)
		if is.Offered <= 0 {
			return unknown
		}
		return is.Rate / is.Offered
	}
}

func of(work string, figure func(figures) float64) func(map[string]tested) float64 {
	return func(all map[string]tested) float64 { return figure(all[work].side(program)) }
}

func rate(f figures) float64     { return f.Rate }
func p50(f figures) float64      { return f.P50 }
func p99(f figures) float64      { return f.P99 }
func server(f figures) float64   { return f.ServerCPU }
func database(f figures) float64 { return f.PostgresCPU }

// targets are what Corridor is to reach: of the rate and the latencies a share of the limit's in the same run, of CPU time a number.
var targets = []target{
	{work: "send", what: "rate, of the limit", atLeast: 0.5, value: ofLimit("send", rate)},
	{work: "send", what: "CPU of the server, µs", atMost: 250, value: of("send", server)},
	{work: "send", what: "CPU of Postgres, µs", atMost: 300, value: of("send", database)},
	{work: "deliver", what: "rate, of what is offered", atLeast: 0.9, value: ofOffered("deliver")},
	{work: "deliver", what: "p50, of the limit", atMost: 1.5, value: ofLimit("deliver", p50)},
	{work: "deliver", what: "p99, of the limit", atMost: 2, value: ofLimit("deliver", p99)},
	{work: "fan-out", what: "rate, of what is offered", atLeast: 0.9, value: ofOffered("fan-out")},
	{work: "fan-out", what: "CPU of the server, µs", atMost: 12, value: of("fan-out", server)},
	{work: "list", what: "rate, of the limit", atLeast: 0.4, value: ofLimit("list", rate)},
	{work: "list", what: "CPU of the server, µs", atMost: 900, value: of("list", server)},
	{work: "history", what: "rate, of the limit", atLeast: 0.35, value: ofLimit("history", rate)},
	{work: "history", what: "CPU of the server, µs", atMost: 600, value: of("history", server)},
	{work: "search", what: "rate, of the limit", atLeast: 0.5, value: ofLimit("search", rate)},
	{work: "search", what: "CPU of the server, µs", atMost: 400, value: of("search", server)},
	{work: "search-2", what: "rate, of the search by more letters", atLeast: 0.95, value: func(all map[string]tested) float64 {
		short, long := all["search-2"].side(program).Rate, all["search"].side(program).Rate
		if short < 0 || long <= 0 {
			return unknown
		}
		return short / long
	}},
}

// verdict is what became of a target.
type verdict struct {
	What  string  `json:"what"`
	Bound string  `json:"bound"`
	Value float64 `json:"value"`
	// Met is missing if the value is not known.
	Met *bool `json:"met,omitempty"`
}

// judge compares what was found with the targets. Nothing may be lost, doubled or out of order either.
func judge(works []tested) {
	all := map[string]tested{}
	for _, work := range works {
		all[work.Name] = work
	}
	for n := range works {
		work := &works[n]
		for _, target := range targets {
			if target.work != work.Name {
				continue
			}
			v := verdict{What: target.what, Value: target.value(all), Bound: fmt.Sprintf("at most %g", target.atMost)}
			if target.atLeast > 0 {
				v.Bound = fmt.Sprintf("at least %g", target.atLeast)
			}
			if v.Value >= 0 {
				met := v.Value >= target.atLeast && (target.atMost == 0 || v.Value <= target.atMost)
				v.Met = &met
			}
			work.Targets = append(work.Targets, v)
		}
		if work.Name == "deliver" || work.Name == "fan-out" {
			amiss := work.side(program).deliveries
			met := amiss == deliveries{}
			work.Targets = append(work.Targets, verdict{
				"lost, doubled or out of order", "at most 0", float64(amiss.Lost + amiss.Doubled + amiss.OutOfOrder), &met,
			})
		}
	}
}

// print writes the table, for people.
func (r *result) print(w io.Writer) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, load %s before and %s after; others used %s of the CPU time, %s was stolen\n", m.CPU, m.Cores,
		shown(m.LoadBefore, 1), shown(m.LoadAfter, 1), percent(m.Others), percent(m.Steal))
	fmt.Fprintf(w, "Corridor %s; %s; medians of %d rounds of %s, Corridor and the limit in turns\n\n", r.Program, r.Data, r.Rounds, r.Lasts)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\trate/s\tp50 ms\tp99 ms\tserver µs/op\tPostgres µs/op\tmemory MB\trate / limit\tlost\tdoubled\tout of order\tothers\t")
	for _, work := range r.Works {
		least := work.side(limit)
		for _, side := range work.Sides {
			f := side.Medians
			share := "–"
			if side.Name == program && least.Rate > 0 && f.Offered == 0 {
				share = shown(f.Rate/least.Rate, 2)
			}
			lost, doubled, order := "–", "–", "–"
			if work.Name == "deliver" || work.Name == "fan-out" {
				lost, doubled, order = fmt.Sprint(f.Lost), fmt.Sprint(f.Doubled), fmt.Sprint(f.OutOfOrder)
			}
			serverCPU, memory := shown(f.ServerCPU, 1), shown(f.Memory, 0)
			if side.Name == limit && f.ServerCPU < 0 && m.Others >= 0 {
				serverCPU, memory = "–", "–" // there is no server
			}
			fmt.Fprintf(table, "%s: %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", work.Name, side.Name, shown(f.Rate, 0), shown(f.P50, 2),
				shown(f.P99, 2), serverCPU, shown(f.PostgresCPU, 1), memory, share, lost, doubled, order, percent(work.Machine.Others))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	table = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "work\ttarget\tbound\tis\t")
	for _, work := range r.Works {
		for _, v := range work.Targets {
			met := "not measured"
			if v.Met != nil && *v.Met {
				met = "met"
			} else if v.Met != nil {
				met = "MISSED"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", work.Name, v.What, v.Bound, shown(v.Value, 2), met)
		}
	}
	return table.Flush()
}

// shown is a figure as the table has it.
func shown(value float64, digits int) string {
	if value < 0 {
		return "n/a"
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f", digits, value))
}

func percent(share float64) string {
	if share < 0 {
		return "n/a"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// save writes what was found, as JSON, and the plots.
func (r *result) save(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "result.json"), append(content, '\n'), 0o644); err != nil { //nolint:gosec // it is for everybody
		return err
	}
	if len(r.Curve) > 0 {
		if err := plotCurve(r.Curve, filepath.Join(dir, "latency.svg")); err != nil {
			return err
		}
	}
	for _, g := range r.Growths {
		if err := plotGrowth(g, filepath.Join(dir, g.File+".svg")); err != nil {
			return err
		}
	}
	return nil
}
