package torture

import (
	"syscall"
	"testing"
	"time"

	"corridor/internal/natstest"
)

// usual is a storm of the size that a test run has time for.
func usual(t *testing.T, environment ...string) plan {
	t.Helper()
	return plan{
		settings: settings{people: 60, groups: 30, directs: 10, environment: environment},
		lasting:  *lasting, within: *limit, rate: *rate, churn: 25, faults: faults,
	}
}

// brief is a small one that does one thing.
func brief(t *testing.T, failpoints string) plan {
	t.Helper()
	return plan{
		settings: settings{people: 20, groups: 8, directs: 2, environment: []string{"CORRIDOR_FAILPOINTS=" + failpoints}},
		lasting:  6 * time.Second, within: *limit, rate: 60, churn: 16, faults: []fault{disconnects},
	}
}

// Whatever goes wrong: nothing is lost, nobody hears anything twice, out of order or that is not
// theirs, and everybody has heard everything soon after it is over.
func TestTheStormChangesNothing(t *testing.T) {
	s := rages(t, usual(t))

	t.Log("\n" + s.table())
	if !s.zero() {
		t.Errorf("the storm changed something:\n%s", s.table())
	}
	s.keptOrder()
}

// Delays where they hurt, and half of the hints lost, change nothing either.
func TestDelaysAndLostHintsChangeNothing(t *testing.T) {
	s := rages(t, brief(t, "hint=30ms,snapshot=20ms,number=100ms,lost-hints=0.5"))

	if !s.zero() {
		t.Errorf("they changed something:\n%s", s.table())
	}
}

// Instances are restarted one after the other, as for a new version, and nobody notices.
func TestARollingRestartChangesNothing(t *testing.T) {
	p := brief(t, "")
	p.faults = []fault{{"all instances are restarted, one by one", func(s *storm) {
		for _, i := range s.instances {
			i.ends(syscall.SIGTERM)
			i.starts()
			i.waits()
		}
	}}}

	s := rages(t, p)

	t.Log("\n" + s.table())
	if !s.zero() {
		t.Errorf("something changed:\n%s", s.table())
	}
}

// So it is where NATS carries the hints, also when a node of it goes in the middle.
func TestNATSMayCarryTheHints(t *testing.T) {
	nodes := natstest.Nodes(t, 3)
	p := usual(t, "CORRIDOR_NATS_URL="+natstest.URLs(nodes...))
	p.lasting = *lasting / 4
	defer time.AfterFunc(p.lasting/2, nodes[2].Shutdown).Stop()

	s := rages(t, p)

	t.Log("\n" + s.table())
	if !s.zero() {
		t.Errorf("something changed:\n%s", s.table())
	}
	s.keptOrder()
}

// The storm is worth something only if it finds what is wrong.
func TestTheStormFindsPlantedBugs(t *testing.T) {
	for bug, test := range map[string]struct {
		failpoints string
		found      func(*storm) int
	}{
		"the exceptions are dropped from the cursor": {"bug=exceptions,number=100ms", func(s *storm) int { return s.doubled }},
		"removals are ignored":                       {"bug=removals", func(s *storm) int { return s.leaked }},
		"the head is read beside the snapshot":       {"bug=head,snapshot=30ms", func(s *storm) int { return s.lost }},
		"nobody looks without a hint":                {"bug=sweep,lost-hints=0.8", func(s *storm) int { return s.lost + s.late }},
	} {
		t.Run(bug, func(t *testing.T) {
			p := brief(t, test.failpoints)
			p.within = 3 * time.Second
			if s := rages(t, p); test.found(s) == 0 {
				t.Errorf("the storm did not find it:\n%s", s.table())
			}
		})
	}
}
