package main

import (
	"context"
	"fmt"
	"time"
)

// cost is what one operation costs at some size.
type cost struct {
	// Of is which operation, At which size.
	Of          string  `json:"of"`
	At          string  `json:"at"`
	ServerCPU   float64 `json:"serverCPU"`
	PostgresCPU float64 `json:"postgresCPU"`
}

// growth is how costs grow with one thing.
type growth struct {
	// File is what the plot is called.
	File  string `json:"file"`
	Title string `json:"title"`
	Costs []cost `json:"costs"`
}

// curve sends at more and more messages a second, until more than the server can do. saturated is how many that are.
func (b *bench) curve(ctx context.Context, c *clinic, saturated float64) (points []figures, err error) {
	ours, _ := halves(c.ordinary)
	for _, share := range []float64{0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1, 1.1} {
		rate := max(1, saturated*share)
		b.report("  send at %.0f messages/s", rate)
		found, err := b.processes.measure(ctx, c.server.pid, func(ctx context.Context) (outcome, error) {
			return openLoop(ctx, rate, b.lasts, func(ctx context.Context, _ int) error {
				to, sender := someOf(ours)
				return c.sends(ctx, sender, to, stamped(time.Now()))
			})
		})
		if err != nil {
			return nil, err
		}
		points = append(points, found)
	}
	return points, nil
}

// sized is a work at one size.
type sized struct {
	of, at string
	// begin prepares it.
	begin func(ctx context.Context) (work, error)
}

// grow measures works at their sizes, in turns, in half as many rounds: there are many of them.
func (b *bench) grow(ctx context.Context, file, title string, all []sized) (growth, error) {
	g := growth{File: file, Title: title}
	rounds := make([][]figures, len(all))
	for range (b.rounds + 1) / 2 {
		for n, one := range all {
			b.report("  %s: %s, %s", title, one.of, one.at)
			w, err := one.begin(ctx)
			if err != nil {
				return g, err
			}
			found, err := b.processes.measure(ctx, w.sides[0].server, func(ctx context.Context) (outcome, error) { return w.sides[0].round(ctx, b.lasts) })
			if w.close != nil {
				w.close()
			}
			if err != nil {
				return g, err
			}
			rounds[n] = append(rounds[n], found)
		}
	}
	for n, one := range all {
		found := medians(rounds[n])
		g.Costs = append(g.Costs, cost{one.of, one.at, found.ServerCPU, found.PostgresCPU})
	}
	return g, nil
}

// growths measures what costs how much more with ten times as much of something. small has a tenth of the data.
func (b *bench) growths(ctx context.Context, c, small *clinic, of, ofSmall size) (all []growth, err error) {
	add := func(file, title string, sizes []sized) error {
		g, err := b.grow(ctx, file, title, sizes)
		all = append(all, g)
		return err
	}

	var data []sized
	for _, at := range []struct {
		clinic *clinic
		name   string
	}{{small, "a tenth"}, {c, "all"}} {
		data = append(data,
			sized{"send", at.name, at.clinic.send}, sized{"list", at.name, at.clinic.list}, sized{"history", at.name, at.clinic.history},
			sized{"search", at.name, func(context.Context) (work, error) { return at.clinic.search("search", "", searchLetters...), nil }})
	}
	if err := add("growth-data", fmt.Sprintf("CPU of an operation, with %s messages of %s staff, and %s of %s", thousands(ofSmall.Messages),
		thousands(ofSmall.Staff), thousands(of.Messages), thousands(of.Staff)), data); err != nil {
		return nil, err
	}

	var members []sized
	for _, to := range []group{c.wards[0], c.hundred, c.everybody} {
		members = append(members, sized{"send", fmt.Sprintf("%d members", len(to.members)), func(context.Context) (work, error) { return c.sendTo(to), nil }})
	}
	if err := add("growth-members", "CPU of a send, with more members", members); err != nil {
		return nil, err
	}

	var pages []sized
	places, err := c.places(ctx, c.deep[0])
	if err != nil {
		return nil, err
	}
	for _, at := range []struct {
		name  string
		place place
	}{{"newest", places[0]}, {"middle", places[len(places)/2]}, {"oldest", places[len(places)-1]}} {
		pages = append(pages, sized{"history", at.name, func(context.Context) (work, error) { return c.historyAt("", []place{at.place}), nil }})
	}
	if err := add("growth-depth", fmt.Sprintf("CPU of a page of history, %d messages deep", len(places)*historyPage), pages); err != nil {
		return nil, err
	}

	var crowds []sized
	for _, to := range []group{c.hundred, c.everybody} {
		crowds = append(crowds, sized{"delivery", fmt.Sprintf("%d subscribers", len(to.members)), func(ctx context.Context) (work, error) {
			w := work{operation: "delivery"}
			err := c.tells(ctx, &w, []group{to}, broadcastsASecond, len(to.members), nil)
			return w, err
		}})
	}
	if err := add("growth-subscribers", "CPU of a delivery, with ten times the subscribers", crowds); err != nil {
		return nil, err
	}
	return all, nil
}

// sendTo is a few senders who send to one group.
func (c *clinic) sendTo(to group) work {
	const few = 4
	return work{sides: []side{{program, c.server.pid, func(ctx context.Context, lasts time.Duration) (outcome, error) {
		return closedLoop(ctx, few, lasts, func(ctx context.Context, client, _ int) error {
			return c.sends(ctx, to.members[client], to, stamped(time.Now()))
		})
	}}}}
}
