package pgtest

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// explaining makes a server write down how it ran every statement, those of foreign keys and functions among them.
var explaining = map[string]string{
	"session_preload_libraries":          "auto_explain",
	"auto_explain.log_min_duration":      "0",
	"auto_explain.log_nested_statements": "on",
	"auto_explain.log_analyze":           "on",
	"auto_explain.log_buffers":           "on",
	"auto_explain.log_timing":            "off",
	"auto_explain.log_format":            "json",
	"log_min_messages":                   "log",
	"log_line_prefix":                    "",
}

// NewExplaining is NewServer for a server whose Ran tells what its statements did.
func NewExplaining(t testing.TB) *Server {
	t.Helper()
	return NewServer(t, explaining)
}

// Ran is what a statement did when it ran.
type Ran struct {
	Query string
	// Buffers are the pages that it touched, and Rows those it read of tables and indexes, also if it had no use for them.
	Buffers, Rows int
	// Whole are tables that it read from end to end.
	Whole []string
	// Plan is how, as JSON.
	Plan string
}

// Ran returns what the server ran while do did something, in the order in which it ended: whoever asked for it and on whichever
// connection, also what the program does by itself. The server is one of NewExplaining.
func (s *Server) Ran(do func()) []Ran {
	s.t.Helper()
	log, err := os.Open(filepath.Join(s.cluster.dir, "postgres.log"))
	if err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}
	defer log.Close()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}

	do()

	written, err := io.ReadAll(log)
	if err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}
	var all []Ran
	for entry := range strings.SplitSeq(string(written), "\nLOG:  ") {
		_, plan, ok := strings.Cut(entry, "plan:\n")
		if !ok {
			continue
		}
		var explained struct {
			Query string `json:"Query Text"`
			Plan  node
		}
		read := json.NewDecoder(strings.NewReader(plan))
		switch err := read.Decode(&explained); {
		case errors.Is(err, io.ErrUnexpectedEOF): // of something else, which is just ending
			continue
		case err != nil:
			s.t.Fatalf("pgtest: %v in %s", err, plan)
		}
		ran := Ran{Query: explained.Query, Plan: plan[:read.InputOffset()], Buffers: explained.Plan.Hit + explained.Plan.Read}
		explained.Plan.visit(&ran)
		all = append(all, ran)
	}
	return all
}

// node is a node of a plan.
type node struct {
	Type       string  `json:"Node Type"`
	Table      string  `json:"Relation Name"`
	Rows       float64 `json:"Actual Rows"` // of each loop, as all are
	Filtered   float64 `json:"Rows Removed by Filter"`
	Rechecked  float64 `json:"Rows Removed by Index Recheck"`
	Loops      float64 `json:"Actual Loops"`
	Hit        int     `json:"Shared Hit Blocks"`
	Read       int     `json:"Shared Read Blocks"`
	Underneath []node  `json:"Plans"`
}

func (n node) visit(ran *Ran) {
	if strings.HasSuffix(n.Type, "Scan") && (n.Table != "" || n.Type == "Bitmap Index Scan") && n.Loops > 0 {
		ran.Rows += int((n.Rows + n.Filtered + n.Rechecked) * n.Loops)
		if n.Type == "Seq Scan" {
			ran.Whole = append(ran.Whole, n.Table)
		}
	}
	for _, under := range n.Underneath {
		under.visit(ran)
	}
}
