package chat

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxProblems is how many bad rows are named.
const maxProblems = 1000

// RowProblem is what is wrong with one line of a roster.
type RowProblem struct {
	Line   int
	Reason string
}

// RosterError lists every bad row of a roster. Nothing of such a roster is applied.
type RosterError struct{ Problems []RowProblem }

func (e *RosterError) Error() string {
	var text strings.Builder
	lines := map[int]bool{}
	for _, problem := range e.Problems {
		lines[problem.Line] = true
	}
	rows := "bad rows"
	if len(lines) == 1 {
		rows = "bad row"
	}
	fmt.Fprintf(&text, "the roster has %d %s, nothing was applied:", len(lines), rows)
	for _, problem := range e.Problems {
		fmt.Fprintf(&text, "\n  line %d: %s", problem.Line, problem.Reason)
	}
	return text.String()
}

var rosterHeader = []string{"email", "name", "role", "waiting_rooms"}

// ReadRoster reads a roster from CSV with the header email,name,role,waiting_rooms; the rooms are
// separated by semicolons. Bad rows are all named at once, by a *RosterError.
func ReadRoster(from io.Reader) ([]RosterRow, error) {
	buffered := bufio.NewReader(from)
	start, err := buffered.Peek(maxHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the roster: %w", err)
	}
	if bytes.HasPrefix(start, byteOrderMark) {
		_, _ = buffered.Discard(len(byteOrderMark)) // it is there
	}
	reader := csv.NewReader(buffered)
	reader.FieldsPerRecord = -1
	header, err := reader.Read()
	if err != nil || !slices.Equal(header, rosterHeader) {
		return nil, &RosterError{[]RowProblem{{1, badHeader(start)}}}
	}
	var rows []RosterRow
	var problems []RowProblem
	lines := map[string]int{}
	for len(problems) < maxProblems {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if bad := new(csv.ParseError); errors.As(err, &bad) {
			problems = append(problems, RowProblem{bad.StartLine, bad.Err.Error()})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the roster: %w", err)
		}
		line, _ := reader.FieldPos(0)
		row, reasons := rosterRow(line, record)
		if first, twice := lines[row.Email]; twice && len(reasons) == 0 {
			reasons = append(reasons, fmt.Sprintf("the e-mail address stands in line %d already", first))
		}
		lines[row.Email] = line
		for _, reason := range reasons {
			problems = append(problems, RowProblem{line, reason})
		}
		if rows = append(rows, row); len(rows) > MaxRoster {
			problems = append(problems, RowProblem{line, fmt.Sprintf("a roster has at most %d rows", MaxRoster)})
			break
		}
	}
	if len(problems) > 0 {
		return nil, &RosterError{problems}
	}
	return rows, nil
}

// byteOrderMark is what Excel begins a CSV in UTF-8 with.
var byteOrderMark = []byte("\ufeff")

// maxHeader is how much of a file is looked at to say what it is instead of a roster.
const maxHeader = 80

// badHeader says what is wrong with the start of a file, and shows what stands there.
func badHeader(start []byte) string {
	line, _, _ := strings.Cut(string(bytes.TrimPrefix(start, byteOrderMark)), "\n")
	switch {
	case bytes.ContainsRune(start, 0):
		return "the file is no CSV in UTF-8, but UTF-16 or a workbook: save it as CSV UTF-8"
	case strings.TrimSpace(line) == "":
		return "there is no header; the first line is " + strings.Join(rosterHeader, ",")
	}
	return fmt.Sprintf("the header is not %s but %q", strings.Join(rosterHeader, ","), strings.TrimSpace(strings.ToValidUTF8(line, "")))
}

func rosterRow(line int, record []string) (row RosterRow, reasons []string) {
	if len(record) != len(rosterHeader) {
		return row, []string{fmt.Sprintf("it has %d fields instead of %d", len(record), len(rosterHeader))}
	}
	if !utf8.ValidString(strings.Join(record, "")) {
		return row, []string{"it is not in UTF-8: save the file as CSV UTF-8"}
	}
	field := func(i, limit int) string {
		text, err := clean(rosterHeader[i], strings.TrimSpace(record[i]), limit, "")
		switch {
		case err != nil:
			reasons = append(reasons, rosterHeader[i]+": "+err.Message)
		case blank(text):
			reasons = append(reasons, rosterHeader[i]+" is empty")
		}
		return text
	}
	row = RosterRow{Line: line, Email: strings.ToLower(field(0, MaxEmail)), Name: field(1, MaxName), Role: field(2, MaxGroupName)}
	if row.Email != "" && !isAddress(row.Email) {
		reasons = append(reasons, "email is not an e-mail address")
	}
	for name := range strings.SplitSeq(record[3], ";") {
		name, err := clean(rosterHeader[3], strings.TrimSpace(name), MaxGroupName, "")
		switch {
		case err != nil:
			reasons = append(reasons, rosterHeader[3]+": "+err.Message)
		case name != "" && !slices.Contains(row.WaitingRooms, name):
			row.WaitingRooms = append(row.WaitingRooms, name)
		}
	}
	return row, reasons
}

// isAddress tells whether a text is an e-mail address and nothing else.
func isAddress(text string) bool {
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text
}
