//go:build failpoints

package eventlog

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// faults are what the variable CORRIDOR_FAILPOINTS says, as in hint=20ms,number=50ms,lost-hints=0.5,bug=sweep:
// the longest pause at a point, how many hints are lost, and the bug that is planted.
var faults = func() map[string]string {
	faults := map[string]string{}
	for fault := range strings.SplitSeq(os.Getenv("CORRIDOR_FAILPOINTS"), ",") {
		name, value, _ := strings.Cut(fault, "=")
		faults[name] = value
	}
	return faults
}()

// pause waits for up to what is set for the point.
func pause(point string) {
	if longest, err := time.ParseDuration(faults[point]); err == nil && longest > 0 {
		time.Sleep(rand.N(longest))
	}
}

func losesHint() bool {
	share, _ := strconv.ParseFloat(faults["lost-hints"], 64)
	return rand.Float64() < share
}

func planted(bug string) bool { return faults["bug"] == bug }
