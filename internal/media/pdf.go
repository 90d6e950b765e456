package media

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"strconv"
)

// The limits of what is read of a PDF to count its pages.
const (
	pdfTail        = 2048     // where its end is looked for
	pdfObject      = 64 << 10 // of an object
	pdfTrailer     = 8 << 10  // of what says where objects stand, all of which is kept
	pdfObjectFile  = 4 << 20  // of a stream of objects, inflated
	pdfInflated    = 64 << 20 // of all that is inflated
	pdfSections    = 64       // updates, each with a list of what changed
	pdfSubsections = 1_000    // of such a list
	pdfDepth       = 20       // of values in values
	pdfValues      = 50_000   // of an object, each of which takes many times the memory of its letters
)

// countPages says how many pages a PDF has, as its catalogue says, or 0 if it doesn't in a way that is understood
// here: it is damaged, say, or its objects are encrypted. It follows the offsets in the file, and keeps nothing of it
// but the object at hand.
func countPages(in *reader) int {
	p := &pdf{in: in, budget: pdfInflated}
	tail, err := in.bytes(max(0, in.size-pdfTail), pdfTail)
	if err != nil {
		return 0
	}
	at := bytes.LastIndex(tail, []byte("startxref"))
	if at < 0 {
		return 0
	}
	offset, ok := (&pdfLexer{b: tail[at+len("startxref"):]}).value(0).(int64)
	if !ok || !p.readSections(offset) {
		return 0
	}
	catalogue := p.dictionary(p.sections[0].trailer["Root"])
	pages := p.dictionary(catalogue["Pages"])
	count, ok := pages["Count"].(int64)
	if pages["Type"] != pdfName("Pages") || !ok || count < 1 || count > 1_000_000 {
		return 0
	}
	return int(count)
}

type pdf struct {
	in       *reader
	sections []pdfSection // the newest first
	budget   int64        // bytes that may still be inflated
}

// pdfSection is a list of where objects stand: a table of lines, or a stream.
type pdfSection struct {
	trailer     map[string]any
	subsections []pdfSubsection
	stream      int64 // offset of the bytes of the stream, if it is one
}

// pdfSubsection is a run of objects with consecutive numbers.
type pdfSubsection struct{ first, count, offset int64 }

type (
	pdfName string
	pdfRef  int64
	// pdfWord is anything that is no value, such as "stream".
	pdfWord string
)

// readSections reads the lists of objects, from that of the last update back to the first.
func (p *pdf) readSections(offset int64) bool {
	seen := map[int64]bool{}
	queue := []int64{offset}
	for len(queue) > 0 {
		offset, queue = queue[0], queue[1:]
		if seen[offset] || len(seen) == pdfSections {
			break
		}
		seen[offset] = true
		section, ok := p.readSection(offset)
		if !ok {
			break
		}
		p.sections = append(p.sections, section)
		for _, key := range []string{"XRefStm", "Prev"} {
			if next, ok := section.trailer[key].(int64); ok {
				queue = append(queue, next)
			}
		}
	}
	return len(p.sections) > 0
}

func (p *pdf) readSection(offset int64) (pdfSection, bool) {
	l, ok := p.at(offset, pdfTrailer)
	if !ok {
		return pdfSection{}, false
	}
	if l.value(0) != pdfWord("xref") {
		dict, stream := p.stream(offset, pdfTrailer)
		if dict["Type"] != pdfName("XRef") {
			return pdfSection{}, false
		}
		section := pdfSection{trailer: dict, stream: stream}
		size, _ := dict["Size"].(int64)
		index, ok := dict["Index"].([]any)
		if !ok {
			index = []any{int64(0), size}
		}
		for i, at := 0, int64(0); i+1 < len(index); i += 2 {
			first, _ := index[i].(int64)
			count, _ := index[i+1].(int64)
			section.subsections = append(section.subsections, pdfSubsection{first, count, at})
			at += count
		}
		return section, true
	}
	var section pdfSection
	for offset += int64(l.at); len(section.subsections) < pdfSubsections; {
		if l, ok = p.at(offset, pdfTrailer); !ok {
			return section, false
		}
		first := l.value(0)
		if first == pdfWord("trailer") {
			section.trailer, ok = l.value(0).(map[string]any)
			return section, ok
		}
		number, isNumber := first.(int64)
		count, isCount := l.value(0).(int64)
		if !isNumber || !isCount || count < 0 || count > p.in.size/pdfLine {
			return section, false
		}
		l.skipSpace()
		offset += int64(l.at)
		section.subsections = append(section.subsections, pdfSubsection{number, count, offset})
		offset += count * pdfLine
	}
	return section, false
}

// pdfLine is the length of a line in a table of objects.
const pdfLine = 20

// dictionary is what a reference, or the value itself, stands for, and empty if that is no dictionary.
func (p *pdf) dictionary(value any) map[string]any {
	if ref, ok := value.(pdfRef); ok {
		value = p.object(int64(ref))
	}
	dict, _ := value.(map[string]any)
	return dict
}

// object looks an object up, in the newest list that has it.
func (p *pdf) object(number int64) any {
	for _, section := range p.sections {
		for _, sub := range section.subsections {
			if number < sub.first || number-sub.first >= sub.count {
				continue
			}
			if section.stream != 0 {
				kind, place, ok := p.entry(section, sub.offset+number-sub.first)
				switch {
				case ok && kind == 1:
					value, _ := p.objectAt(place, pdfObject)
					return value
				case ok && kind == 2:
					return p.objectIn(place, number)
				}
				continue
			}
			line, ok := p.at(sub.offset+(number-sub.first)*pdfLine, pdfLine)
			if !ok {
				return nil
			}
			offset, isOffset := line.value(0).(int64)
			line.value(0)
			if isOffset && line.value(0) == pdfWord("n") {
				value, _ := p.objectAt(offset, pdfObject)
				return value
			}
		}
	}
	return nil
}

// entry reads a line of a list that is a stream: 1 and the offset of the object, or 2 and the
// number of the stream that it is in.
func (p *pdf) entry(section pdfSection, index int64) (kind, place int64, ok bool) {
	widths, _ := section.trailer["W"].([]any)
	if len(widths) != 3 || index < 0 {
		return 0, 0, false
	}
	var w [3]int
	for i := range w {
		width, isNumber := widths[i].(int64)
		if !isNumber || width < 0 || width > 8 {
			return 0, 0, false
		}
		w[i] = int(width)
	}
	length := w[0] + w[1] + w[2]
	r := p.inflate(section.trailer, section.stream)
	if r == nil || length == 0 {
		return 0, 0, false
	}
	row := make([]byte, length)
	parameters, _ := section.trailer["DecodeParms"].(map[string]any)
	predictor, _ := parameters["Predictor"].(int64)
	if predictor < 10 {
		if _, err := io.CopyN(io.Discard, r, index*int64(length)); err != nil {
			return 0, 0, false
		}
		if _, err := io.ReadFull(r, row); err != nil {
			return 0, 0, false
		}
	} else {
		if columns, _ := parameters["Columns"].(int64); columns != int64(length) {
			return 0, 0, false
		}
		line := make([]byte, 1+length)
		for range index + 1 {
			if _, err := io.ReadFull(r, line); err != nil || !unpredict(row, line) {
				return 0, 0, false
			}
		}
	}
	number := func(from, width int) int64 {
		n := int64(0)
		for _, b := range row[from : from+width] {
			n = n<<8 | int64(b)
		}
		return n
	}
	kind = number(0, w[0])
	if w[0] == 0 {
		kind = 1
	}
	return kind, number(w[0], w[1]), true
}

// unpredict makes of a row the one after it, of which a line holds the differences, as PNG does.
func unpredict(row, line []byte) bool {
	for i, b := range line[1:] {
		left := byte(0)
		if i > 0 {
			left = row[i-1]
		}
		switch line[0] {
		case 0:
			row[i] = b
		case 1:
			row[i] = b + left
		case 2:
			row[i] += b
		default:
			return false
		}
	}
	return true
}

// objectAt reads an object at an offset. It returns the length of what it read as well.
func (p *pdf) objectAt(offset int64, limit int) (any, int) {
	l, ok := p.at(offset, limit)
	if !ok {
		return nil, 0
	}
	_, isNumber := l.value(0).(int64)
	_, isGeneration := l.value(0).(int64)
	if !isNumber || !isGeneration || l.value(0) != pdfWord("obj") {
		return nil, 0
	}
	value := l.value(0)
	return value, l.at
}

// stream reads the dictionary of a stream, and where its bytes stand.
func (p *pdf) stream(offset int64, limit int) (map[string]any, int64) {
	value, length := p.objectAt(offset, limit)
	dict, ok := value.(map[string]any)
	if !ok {
		return nil, 0
	}
	l, ok := p.at(offset+int64(length), pdfLine)
	if !ok || l.value(0) != pdfWord("stream") {
		return nil, 0
	}
	rest := l.b[l.at:]
	skip := len(rest) - len(bytes.TrimPrefix(bytes.TrimPrefix(rest, []byte("\r")), []byte("\n")))
	return dict, offset + int64(length+l.at+skip)
}

// inflate reads the bytes of a stream, as far as the budget goes.
func (p *pdf) inflate(dict map[string]any, offset int64) io.Reader {
	if offset <= 0 || offset >= p.in.size {
		return nil
	}
	raw := bufio.NewReader(io.NewSectionReader(p.in, offset, p.in.size-offset))
	filter := dict["Filter"]
	if filters, ok := filter.([]any); ok && len(filters) == 1 {
		filter = filters[0]
	}
	switch filter {
	case nil:
		return &budgeted{raw, &p.budget}
	case pdfName("FlateDecode"):
		inflated, err := zlib.NewReader(raw)
		if err != nil {
			return nil
		}
		return bufio.NewReader(&budgeted{inflated, &p.budget})
	}
	return nil
}

// budgeted reads as long as there is a budget.
type budgeted struct {
	io.Reader
	budget *int64
}

func (r *budgeted) Read(b []byte) (int, error) {
	if *r.budget <= 0 {
		return 0, errors.New("too much to inflate")
	}
	n, err := r.Reader.Read(b[:min(int64(len(b)), *r.budget)])
	*r.budget -= int64(n)
	return n, err
}

// objectIn reads an object in a stream of objects.
func (p *pdf) objectIn(container, number int64) any {
	for _, section := range p.sections {
		for _, sub := range section.subsections {
			if container < sub.first || container-sub.first >= sub.count || section.stream == 0 {
				continue
			}
			kind, offset, ok := p.entry(section, sub.offset+container-sub.first)
			if !ok || kind != 1 {
				continue
			}
			dict, at := p.stream(offset, pdfObject)
			n, _ := dict["N"].(int64)
			first, _ := dict["First"].(int64)
			r := p.inflate(dict, at)
			if dict["Type"] != pdfName("ObjStm") || r == nil {
				return nil
			}
			b, _ := io.ReadAll(io.LimitReader(r, pdfObjectFile))
			if first < 0 || first > int64(len(b)) {
				return nil
			}
			l := &pdfLexer{b: b[:first]}
			for range n {
				found, isNumber := l.value(0).(int64)
				from, isOffset := l.value(0).(int64)
				if !isNumber || !isOffset {
					return nil
				}
				if found == number && from >= 0 && first+from <= int64(len(b)) {
					object := b[first+from:]
					return (&pdfLexer{b: object[:min(len(object), pdfObject)]}).value(0)
				}
			}
			return nil
		}
	}
	return nil
}

// at reads values from an offset on, as far as the limit goes.
func (p *pdf) at(offset int64, limit int) (*pdfLexer, bool) {
	b, err := p.in.bytes(offset, limit)
	return &pdfLexer{b: b}, err == nil
}

// pdfLexer reads the values of a PDF. Strings are read over.
type pdfLexer struct {
	b      []byte
	at     int
	values int // that were read
}

const (
	pdfSpace      = "\x00\t\n\f\r "
	pdfDelimiters = pdfSpace + "()<>[]{}/%"
)

func (l *pdfLexer) skipSpace() {
	for l.at < len(l.b) {
		switch c := l.b[l.at]; {
		case bytes.IndexByte([]byte(pdfSpace), c) >= 0:
			l.at++
		case c == '%':
			for l.at < len(l.b) && l.b[l.at] != '\n' && l.b[l.at] != '\r' {
				l.at++
			}
		default:
			return
		}
	}
}

func (l *pdfLexer) word() string {
	from := l.at
	for l.at < len(l.b) && bytes.IndexByte([]byte(pdfDelimiters), l.b[l.at]) < 0 {
		l.at++
	}
	return string(l.b[from:l.at])
}

// value reads the next value: a name, number, reference, array, dictionary, or a word. It is nil for strings, and
// at the end of what there is to read.
func (l *pdfLexer) value(depth int) any {
	l.skipSpace()
	if l.values++; l.at >= len(l.b) || depth > pdfDepth || l.values > pdfValues {
		l.at = len(l.b)
		return nil
	}
	switch c := l.b[l.at]; c {
	case '/':
		l.at++
		return pdfName(l.word())
	case '(':
		l.skipString()
		return nil
	case '[':
		l.at++
		array := []any{}
		for {
			if l.skipSpace(); l.at >= len(l.b) || l.b[l.at] == ']' {
				l.at++
				return array
			}
			array = append(array, l.value(depth+1))
		}
	case '<':
		if l.at+1 < len(l.b) && l.b[l.at+1] == '<' {
			l.at += 2
			return l.dictionary(depth)
		}
		end := bytes.IndexByte(l.b[l.at:], '>')
		if end < 0 {
			end = len(l.b) - l.at - 1
		}
		l.at += end + 1
		return nil
	case ')', '>', ']', '{', '}':
		l.at++
		return nil
	}
	word := l.word()
	number, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return pdfWord(word)
	}
	// A reference is a number, a generation and an R.
	before := l.at
	l.skipSpace()
	if generation, err := strconv.ParseInt(l.word(), 10, 64); err == nil && generation >= 0 {
		if l.skipSpace(); l.word() == "R" {
			return pdfRef(number)
		}
	}
	l.at = before
	return number
}

func (l *pdfLexer) dictionary(depth int) map[string]any {
	dict := map[string]any{}
	for {
		l.skipSpace()
		if l.at >= len(l.b) || l.b[l.at] == '>' {
			l.at = min(l.at+2, len(l.b))
			return dict
		}
		key, ok := l.value(depth + 1).(pdfName)
		if !ok {
			continue
		}
		dict[string(key)] = l.value(depth + 1)
	}
}

func (l *pdfLexer) skipString() {
	for depth := 0; l.at < len(l.b); {
		c := l.b[l.at]
		l.at++
		switch c {
		case '\\':
			l.at++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return
			}
		}
	}
}
