package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The bare server is this program, which is the test here.
func TestMain(m *testing.M) {
	if isBare() {
		if err := serveBare(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Every work and its limits are done for a moment, on little data: nothing is lost, doubled or out of order, every answer has the
// rows that it should have, or the work fails, and what was found is printed, saved and drawn.
func TestAllWorksAreMeasured(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "corridor-bench-") // PostgreSQL's user may enter it, also if we are root
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	o := options{
		size: size{Staff: 500, Conversations: minConversations, Messages: minMessages}, rounds: 1, lasts: 50 * time.Millisecond,
		data: filepath.Join(dir, "data"), out: filepath.Join(dir, "out"), server: filepath.Join(dir, "corridor"), progress: t.Output(),
	}
	build := exec.Command("go", "build", "-buildvcs=auto", "-o", o.server, "corridor")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}

	found, err := measureAll(t.Context(), o, func(*result) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(found.Works), len(workNames); got != want {
		t.Fatalf("%d works were done, not %d", got, want)
	}
	for n, work := range found.Works {
		if work.Name != workNames[n] || len(work.Sides) < 2 || len(work.Targets) == 0 {
			t.Errorf("%s has %d sides and %d targets", work.Name, len(work.Sides), len(work.Targets))
		}
		for _, side := range work.Sides {
			if side.Medians.Operations == 0 || side.Medians.deliveries != (deliveries{}) {
				t.Errorf("%s, %s: %+v", work.Name, side.Name, side.Medians)
			}
		}
	}
	if len(found.Curve) == 0 || len(found.Growths) != 4 {
		t.Errorf("there are %d points of the curve and %d growths", len(found.Curve), len(found.Growths))
	}
	var table bytes.Buffer
	if err := found.print(&table); err != nil || bytes.Count(table.Bytes(), []byte("\n")) < 20 {
		t.Errorf("the table is %v:\n%s", err, &table)
	}
	if err := found.save(o.out); err != nil {
		t.Fatal(err)
	}
	plots, err := filepath.Glob(filepath.Join(o.out, "*.svg"))
	if err != nil || len(plots) != 5 {
		t.Errorf("there are the plots %v, %v", plots, err)
	}
	for _, name := range plots {
		if content, err := os.ReadFile(name); err != nil || !bytes.HasSuffix(bytes.TrimSpace(content), []byte("</svg>")) {
			t.Errorf("%s is no SVG: %v", name, err)
		}
	}
	var saved result
	content, err := os.ReadFile(filepath.Join(o.out, "result.json"))
	if err != nil || json.Unmarshal(content, &saved) != nil || saved.Works[1].side(program).Rate != found.Works[1].side(program).Rate {
		t.Errorf("what was saved is not what was found: %v", err)
	}
}

func TestASubscriberCountsWhatIsAmiss(t *testing.T) {
	t.Parallel()
	s := &subscriber{missing: map[int64]bool{}}
	c := &crowd{all: []*subscriber{s}, of: map[string][]*subscriber{"group": {s}}}
	frame := func(seq int) []byte {
		return fmt.Appendf(nil, `{"id":"1","type":"next","payload":{"data":{"events":{"message":{"seq":%d,"text":"%s"}}}}}`, seq, stamped(time.Now()))
	}

	for _, seq := range []int{7, 8, 11, 9, 9, 8, 12} { // 10 is lost
		s.hears(frame(seq), time.Now())
	}
	s.hears([]byte(`{"id":"1","type":"next","payload":{"data":{"events":{"__typename":"Heartbeat"}}}}`), time.Now())

	ctx, cancel := context.WithCancel(t.Context())
	heard, latencies, amiss, err := c.end(ctx, map[string]int{"group": 5})
	cancel()
	if want := (deliveries{Doubled: 2, OutOfOrder: 1}); err != nil || heard != 5 || len(latencies) != 5 || amiss != want {
		t.Errorf("heard %d in %d latencies, %+v amiss, %v", heard, len(latencies), amiss, err)
	}
	if !s.missing[10] {
		t.Error("what is lost is not known")
	}
}

func TestPercentilesAreOfTheNearestRank(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for n := range 100 {
		hundred = append(hundred, time.Duration(n+1))
	}
	for _, is := range []struct {
		of    []time.Duration
		at    float64
		wants time.Duration
	}{{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred[:1], 50, 1}, {hundred[:2], 50, 1}, {hundred[:2], 99, 2}, {nil, 50, 0}} {
		if got := percentile(is.of, is.at); got != is.wants {
			t.Errorf("p%g of %d values is %d, not %d", is.at, len(is.of), got, is.wants)
		}
	}
	if odd, even := median([]float64{3, 1, 2}), median([]float64{4, 1, 3, 2}); odd != 2 || even != 2.5 {
		t.Errorf("the medians are %g and %g", odd, even)
	}
}

func TestTargetsAreJudged(t *testing.T) {
	t.Parallel()
	works := []tested{
		{Name: "send", Sides: []sideFound{
			{Name: program, Medians: figures{Rate: 600, ServerCPU: 300, PostgresCPU: unknown}}, {Name: limit, Medians: figures{Rate: 1000}},
		}},
		{Name: "deliver", Sides: []sideFound{
			{Name: program, Medians: figures{Rate: 199, Offered: 200, P50: 2, P99: 3, deliveries: deliveries{Lost: 1}}}, {Name: limit, Medians: figures{P50: 1, P99: 2}},
		}},
	}

	judge(works)

	var got []string
	for _, work := range works {
		for _, v := range work.Targets {
			met := "unknown"
			if v.Met != nil {
				met = fmt.Sprint(*v.Met)
			}
			got = append(got, met)
		}
	}
	if want := "[true false unknown true false true false]"; fmt.Sprint(got) != want {
		t.Errorf("the targets are %v, not %s", got, want)
	}
}
