package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// outcome is what came of one round of one side.
type outcome struct {
	// operations is how many were done, in so much time.
	operations int
	took       time.Duration
	// offered is how many a second were asked for, if that was given.
	offered   float64
	latencies []time.Duration
	deliveries
}

// deliveries count what subscribers heard amiss.
type deliveries struct {
	Lost       int `json:"lost"`
	Doubled    int `json:"doubled"`
	OutOfOrder int `json:"outOfOrder"`
}

func (d *deliveries) add(other deliveries) {
	d.Lost += other.Lost
	d.Doubled += other.Doubled
	d.OutOfOrder += other.OutOfOrder
}

// figures are of one side of a work: of one round, or the medians of several. What is not known is negative.
type figures struct {
	Operations int `json:"operations"`
	// Rate is of operations a second, Offered what was asked for, if it was given.
	Rate    float64 `json:"rate"`
	Offered float64 `json:"offered,omitempty"`
	// P50 and P99 are in milliseconds.
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	// ServerCPU and PostgresCPU are of one operation, in microseconds.
	ServerCPU   float64 `json:"serverCPU"`
	PostgresCPU float64 `json:"postgresCPU"`
	// Memory is what the server holds, in megabytes.
	Memory float64 `json:"memory"`
	deliveries
}

// unknown stands where something can't be measured.
const unknown = -1

// percentile is the nearest rank: of sorted values the first that so many of 100 do not exceed.
func percentile(sorted []time.Duration, of100 float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(of100*float64(len(sorted))/100+0.999999) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median is the middle one, or the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return unknown
	}
	values = slices.Sorted(slices.Values(values))
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// medians are those of rounds, figure by figure; what went amiss is added up.
func medians(rounds []figures) (all figures) {
	of := func(figure func(figures) float64) float64 {
		var values []float64
		for _, round := range rounds {
			values = append(values, figure(round))
		}
		return median(values)
	}
	for _, round := range rounds {
		all.Operations += round.Operations
		all.deliveries.add(round.deliveries)
	}
	all.Rate = of(func(f figures) float64 { return f.Rate })
	all.Offered = of(func(f figures) float64 { return f.Offered })
	all.P50 = of(func(f figures) float64 { return f.P50 })
	all.P99 = of(func(f figures) float64 { return f.P99 })
	all.ServerCPU = of(func(f figures) float64 { return f.ServerCPU })
	all.PostgresCPU = of(func(f figures) float64 { return f.PostgresCPU })
	all.Memory = of(func(f figures) float64 { return f.Memory })
	return all
}

// processes know how busy a server and its database are.
type processes struct {
	// postgres is the process of the database; the others are its children.
	postgres int
	// idle is how busy each is when nobody asks, in CPU time of a second.
	idle map[int]float64
}

// measure has a side run, and says what it cost the server with that pid, if there is one, and the database.
func (p *processes) measure(ctx context.Context, server int, run func(context.Context) (outcome, error)) (figures, error) {
	runtime.GC() // ours is not to fall into the round
	before, begun := cpuOf(server, p.postgres), time.Now()
	out, err := run(ctx)
	if err != nil {
		return figures{}, err
	}
	if out.operations == 0 {
		return figures{}, errors.New("nothing was done in the time there was: give it more by -for")
	}
	elapsed, after := time.Since(begun).Seconds(), cpuOf(server, p.postgres)
	each := func(pid int) float64 {
		if before[pid] < 0 || after[pid] < 0 {
			return unknown
		}
		return max(0, (after[pid]-before[pid]).Seconds()-p.idle[pid]*elapsed) * 1e6 / float64(out.operations)
	}
	slices.Sort(out.latencies)
	return figures{
		Operations: out.operations, Rate: float64(out.operations) / out.took.Seconds(), Offered: out.offered,
		P50: milliseconds(percentile(out.latencies, 50)), P99: milliseconds(percentile(out.latencies, 99)),
		ServerCPU: each(server), PostgresCPU: each(p.postgres),
		Memory: memoryOf(server), deliveries: out.deliveries,
	}, nil
}

// rests learns how busy servers and the database are while nobody asks.
func (p *processes) rests(ctx context.Context, lasts time.Duration, servers ...int) error {
	all := append(servers, p.postgres)
	before := cpuOf(all...)
	if err := sleep(ctx, lasts); err != nil {
		return err
	}
	for pid, after := range cpuOf(all...) {
		p.idle[pid] = max(0, after-before[pid]).Seconds() / lasts.Seconds()
	}
	return nil
}

// tick is what /proc counts time in, whatever the kernel's own is.
const tick = time.Second / 100

// cpuOf is the CPU time of processes, each with all below it, also those that ended, or unknown: without /proc, or if there is no such.
func cpuOf(pids ...int) map[int]time.Duration {
	type process struct {
		parent int
		ticks  int64
	}
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	all := make(map[int]process, len(names))
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// Behind the name, which may hold anything: state, parent, …, utime, stime, cutime and cstime.
		fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
		if len(fields) < 15 {
			continue
		}
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		var of process
		of.parent, _ = strconv.Atoi(fields[1])
		for _, field := range fields[11:15] {
			ticks, _ := strconv.ParseInt(field, 10, 64)
			of.ticks += ticks
		}
		all[id] = of
	}
	sums := map[int]time.Duration{}
	for _, pid := range pids {
		if _, there := all[pid]; !there {
			sums[pid] = unknown
			continue
		}
		for id, of := range all {
			for up := id; up > 1; up = all[up].parent {
				if up == pid {
					sums[pid] += time.Duration(of.ticks) * tick
					break
				}
			}
		}
	}
	return sums
}

// memoryOf is what a process holds in memory, in megabytes, or unknown without /proc.
func memoryOf(pid int) float64 {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil || pid <= 0 {
		return unknown
	}
	_, behind, _ := strings.Cut(string(content), "VmRSS:")
	fields := strings.Fields(behind)
	if len(fields) == 0 {
		return unknown
	}
	kilobytes, _ := strconv.ParseFloat(fields[0], 64)
	return kilobytes / 1024
}

// machine is where it was measured, and how busy others kept it.
type machine struct {
	Cores int    `json:"cores"`
	CPU   string `json:"cpu"`
	// Load is the average of the last minute, before and after.
	LoadBefore float64 `json:"loadBefore"`
	LoadAfter  float64 `json:"loadAfter"`
	// Steal is how much of the CPU time the hypervisor gave to others, Others how much other processes used, of 1.
	Steal  float64 `json:"steal"`
	Others float64 `json:"others"`
}

// watch begins to watch the machine. This process and all below it are not the others.
func watch() (end func() machine) {
	us := os.Getpid()
	is := machine{Cores: runtime.NumCPU(), CPU: cpuName(), LoadBefore: load(), Steal: unknown, Others: unknown}
	used := func() time.Duration { return max(0, cpuOf(us)[us]) }
	before, ok := times()
	ourBefore := used()
	return func() machine {
		is.LoadAfter = load()
		if after, still := times(); ok && still {
			total := after.all - before.all
			is.Steal = (after.steal - before.steal) / total
			is.Others = max(0, (after.busy-before.busy)-(used()-ourBefore).Seconds()) / total
		}
		return is
	}
}

// cpuTimes are those of all cores together since the machine started, in seconds.
type cpuTimes struct{ all, busy, steal float64 }

func times() (sum cpuTimes, ok bool) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return sum, false
	}
	first, _, _ := strings.Cut(string(content), "\n")
	fields := strings.Fields(first)
	if len(fields) < 9 {
		return sum, false
	}
	for n, field := range fields[1:9] { // user, nice, system, idle, iowait, irq, softirq, steal
		ticks, _ := strconv.ParseFloat(field, 64)
		seconds := ticks * tick.Seconds()
		sum.all += seconds
		switch n {
		case 3, 4:
		case 7:
			sum.steal += seconds
		default:
			sum.busy += seconds
		}
	}
	return sum, true
}

func load() float64 {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return unknown
	}
	value, _ := strconv.ParseFloat(strings.Fields(string(content))[0], 64)
	return value
}

func cpuName() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	_, behind, found := strings.Cut(string(content), "model name")
	if !found {
		return runtime.GOARCH
	}
	name, _, _ := strings.Cut(strings.TrimLeft(behind, "\t :"), "\n")
	return name
}

// closedLoop has so many do something again and again, each as soon as it is done, until the time is over. The first error ends it.
func closedLoop(ctx context.Context, clients int, lasts time.Duration, do func(ctx context.Context, client, n int) error) (outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := make([][]time.Duration, clients)
	begun := time.Now()
	var working sync.WaitGroup
	for client := range clients {
		working.Go(func() {
			for n := 0; ctx.Err() == nil && time.Since(begun) < lasts; n++ {
				began := time.Now()
				if err := do(ctx, client, n); err != nil {
					cancel(err)
					return
				}
				all[client] = append(all[client], time.Since(began))
			}
		})
	}
	working.Wait()
	out := outcome{took: time.Since(begun), latencies: slices.Concat(all...)}
	out.operations = len(out.latencies)
	return out, context.Cause(ctx)
}

// atOnce is how many may be under way in an open loop: with more the rate was too much.
const atOnce = 1024

// openLoop does something at a steady rate, whether what was begun before is done or not, until the time is over, and waits for all.
// What it returns as latencies counts from the moment at which each was due.
func openLoop(ctx context.Context, rate float64, lasts time.Duration, do func(ctx context.Context, n int) error) (outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	every := time.Duration(float64(time.Second) / rate)
	turns := make(chan struct{}, atOnce)
	var mu sync.Mutex
	var latencies []time.Duration
	var working sync.WaitGroup
	begun := time.Now()
	for n := 0; time.Duration(n)*every < lasts; n++ {
		due := begun.Add(time.Duration(n) * every)
		if err := sleep(ctx, time.Until(due)); err != nil {
			break
		}
		turns <- struct{}{}
		working.Go(func() {
			defer func() { <-turns }()
			if err := do(ctx, n); err != nil {
				cancel(err)
				return
			}
			took := time.Since(due)
			mu.Lock()
			latencies = append(latencies, took)
			mu.Unlock()
		})
	}
	working.Wait()
	out := outcome{operations: len(latencies), took: max(lasts, time.Since(begun)), offered: rate, latencies: latencies}
	return out, context.Cause(ctx)
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
