package main

import (
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"corridor/internal/pgtest"
)

// BenchmarkStart is a start on a database that is there: from the command until the server is ready, and the memory that the process
// has then, before anybody asked for anything. The program must not have been built with -race.
func BenchmarkStart(b *testing.B) {
	settings := []string{"DATABASE_URL=" + pgtest.New(b).URL, "CORRIDOR_TOKEN_KEY=" + someKey, "CORRIDOR_DEMO=true"}
	dir := emptyDir(b)
	starts(b, dir, settings...).ends(syscall.SIGTERM) // it makes the demo clinic
	resident := regexp.MustCompile(`(?m)^process_resident_memory_bytes (.*)$`)
	var took time.Duration
	var memory float64
	for b.Loop() {
		began := time.Now()
		server := starts(b, dir, settings...)
		took += time.Since(began)
		_, metrics := server.gets("/metrics")
		bytes, err := strconv.ParseFloat(resident.FindStringSubmatch(metrics)[1], 64)
		if err != nil {
			b.Fatal(err)
		}
		memory += bytes
		server.ends(syscall.SIGTERM)
	}
	b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms/start")
	b.ReportMetric(memory/float64(b.N)/1e6, "MB")
	b.ReportMetric(0, "ns/op")
}
