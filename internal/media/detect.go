package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
)

// headerLimit is how much of a file's start is looked at to tell its type.
const headerLimit = 4096

var byteOrderMark = []byte("\xef\xbb\xbf")

// detect says what a file is by its bytes, or why it isn't safe to say.
func detect(in *reader) (string, error) {
	header, err := in.bytes(0, headerLimit)
	if err != nil {
		return unknown, err
	}
	found := mimetype.Detect(bytes.TrimPrefix(header, byteOrderMark))
	switch {
	case found.Is(pdfType):
		// Readers of PDF look for its header in the first kilobyte: what has another start is two files.
		if !bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(header, byteOrderMark), " \t\r\n\f"), []byte("%PDF-")) {
			return pdfType, ambiguous(pdfType)
		}
		return pdfType, nil
	case isA(found, zipType):
		return detectInZip(in, canonical(found.String()))
	case isA(found, oleType):
		return detectInOLE(in, canonical(found.String()))
	case isA(found, plain):
		if bytes.HasPrefix(bytes.TrimPrefix(header, byteOrderMark), []byte("#!")) {
			return script, nil
		}
		if name := canonical(found.String()); name != plain && !kindOf[name].plain {
			return name, nil
		}
		if isText, err := readsAsText(in); err != nil || !isText {
			return unknown, err
		}
		return canonical(found.String()), nil
	}
	if name := canonical(found.String()); name != "" {
		return name, nil
	}
	return unknown, nil
}

// isA tells whether a type is another one or a special case of it.
func isA(found *mimetype.MIME, mediaType string) bool {
	for ; found != nil; found = found.Parent() {
		if found.Is(mediaType) {
			return true
		}
	}
	return false
}

// readsAsText tells whether all of a file is text: UTF-16 if it says so, else UTF-8 or one of the
// eight-bit alphabets, in which every byte is a letter but for the control characters. It notes the charset.
func readsAsText(in *reader) (bool, error) {
	r := bufio.NewReaderSize(in.all(), 64<<10)
	mark, err := r.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	var order binary.ByteOrder
	switch {
	case bytes.Equal(mark, []byte{0xFF, 0xFE}):
		order = binary.LittleEndian
	case bytes.Equal(mark, []byte{0xFE, 0xFF}):
		order = binary.BigEndian
	}
	b := make([]byte, 32<<10)
	high := false // after the first half of a pair of surrogates
	letters := utf8Reader{}
	for {
		n, err := io.ReadFull(r, b)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		if order != nil && n%2 == 1 {
			return false, nil
		}
		letters.read(b[:n])
		for i := 0; i < n; i++ {
			unit := uint16(b[i])
			if order != nil {
				unit = order.Uint16(b[i:])
				i++
				isLow := utf16.IsSurrogate(rune(unit)) && unit >= 0xDC00
				if high != isLow {
					return false, nil
				}
				high = utf16.IsSurrogate(rune(unit)) && !isLow
			}
			if unit < ' ' && !strings.ContainsRune("\t\n\f\r\x1b", rune(unit)) {
				return false, nil
			}
		}
		if err != nil {
			switch {
			case order != nil:
				in.charset = "utf-16"
			case letters.valid():
				in.charset = "utf-8"
			}
			return !high, nil
		}
	}
}

// utf8Reader tells whether what it reads piece by piece is UTF-8.
type utf8Reader struct {
	rest    []byte // of a letter that goes on in the next piece
	invalid bool
}

func (u *utf8Reader) read(piece []byte) {
	if u.invalid {
		return
	}
	if len(u.rest) > 0 {
		for len(piece) > 0 && !utf8.FullRune(u.rest) {
			u.rest, piece = append(u.rest, piece[0]), piece[1:]
		}
		if !utf8.FullRune(u.rest) {
			return
		}
		u.invalid, u.rest = !utf8.Valid(u.rest), nil
	}
	end := len(piece)
	for back := 1; back < utf8.UTFMax && back <= len(piece); back++ {
		if utf8.RuneStart(piece[len(piece)-back]) {
			if !utf8.FullRune(piece[len(piece)-back:]) {
				end = len(piece) - back
			}
			break
		}
	}
	u.invalid = u.invalid || !utf8.Valid(piece[:end])
	u.rest = append(u.rest, piece[end:]...)
}

func (u *utf8Reader) valid() bool { return !u.invalid && len(u.rest) == 0 }

const (
	zipEntry     = "PK\x01\x02"
	zipEnd       = "PK\x05\x06"
	zipEntrySize = 46
	zipEndSize   = 22
	maxZipTail   = zipEndSize + 1<<16
)

// directory is where the list of a zip's entries stands.
type directory struct{ offset, size, end int64 }

// zipDirectory looks for a zip's end that is also the end of the file.
func zipDirectory(in *reader) (directory, bool, error) {
	from := max(0, in.size-maxZipTail)
	tail, err := in.bytes(from, maxZipTail)
	if err != nil {
		return directory{}, false, err
	}
	for at := len(tail); ; {
		at = bytes.LastIndex(tail[:at], []byte(zipEnd))
		if at < 0 {
			return directory{}, false, nil
		}
		end := tail[at:]
		if len(end) < zipEndSize || zipEndSize+int(binary.LittleEndian.Uint16(end[20:])) != len(end) {
			continue
		}
		d := directory{
			size:   int64(binary.LittleEndian.Uint32(end[12:])),
			offset: int64(binary.LittleEndian.Uint32(end[16:])),
			end:    from + int64(at),
		}
		return d, true, nil
	}
}

// detectInZip says which document a zip is by the names of its entries. It reads its directory in passing,
// without keeping or inflating anything. A directory that does not stand right before the end, or not where
// the end says, is no honest one: such a file is one thing to one program and another to the next.
func detectInZip(in *reader, found string) (string, error) {
	d, ok, err := zipDirectory(in)
	if err != nil {
		return found, err
	}
	if !ok || d.offset+d.size != d.end {
		return found, errDamaged
	}
	r := bufio.NewReader(io.NewSectionReader(in, d.offset, d.size))
	office, macros, contentTypes := "", false, false
	for left := d.size; left > 0; {
		var entry [zipEntrySize]byte
		if _, err := io.ReadFull(r, entry[:]); err != nil || string(entry[:4]) != zipEntry {
			return found, errors.Join(err, errDamaged)
		}
		name := make([]byte, binary.LittleEndian.Uint16(entry[28:]))
		if _, err := io.ReadFull(r, name); err != nil {
			return found, err
		}
		rest := int(binary.LittleEndian.Uint16(entry[30:])) + int(binary.LittleEndian.Uint16(entry[32:]))
		if _, err := r.Discard(rest); err != nil {
			return found, err
		}
		left -= int64(zipEntrySize + len(name) + rest)

		part := strings.ToLower(strings.TrimLeft(strings.ReplaceAll(string(name), `\`, "/"), "/"))
		switch top, _, _ := strings.Cut(part, "/"); top {
		case "[content_types].xml":
			contentTypes = true
		case "word":
			office = docxType
		case "xl":
			office = xlsxType
		case "ppt":
			office = pptxType
		}
		if path.Base(part) == "vbaproject.bin" || strings.HasPrefix(part, "xl/macrosheets/") || part == "xl/workbook.bin" {
			macros = true
		}
	}
	switch {
	case contentTypes && office != "" && macros:
		return office, errMacros
	case contentTypes && office != "":
		return office, nil
	case found == docxType || found == xlsxType || found == pptxType:
		return zipType, nil // by its first entries, but not by its directory
	}
	return found, nil
}

var errMacros = refuse(NotAllowed, "Documents with macros are not accepted.")

// oleEntrySize is the size and alignment of an entry in the directory of an OLE file.
const oleEntrySize = 128

// detectInOLE says which document an OLE file is by its directory. The directory may stand anywhere, in pieces;
// its entries are recognised by their alignment and form, so that no chain of sectors has to be followed.
func detectInOLE(in *reader, found string) (string, error) {
	classes := map[string]string{
		"\x06\x09\x02\x00": docType, "\x00\x09\x02\x00": docType, "\x07\x09\x02\x00": docType,
		"\x10\x08\x02\x00": xlsType, "\x20\x08\x02\x00": xlsType,
		"\x10\x8d\x81\x64": pptType, "\x70\xae\x7b\xea": pptType,
	}
	streams := map[string]string{"WordDocument": docType, "Workbook": xlsType, "Book": xlsType, "PowerPoint Document": pptType}
	root, stream := "", ""
	r := bufio.NewReaderSize(in.all(), 64<<10)
	for {
		var entry [oleEntrySize]byte
		if _, err := io.ReadFull(r, entry[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		} else if err != nil {
			return found, err
		}
		name, isEntry := oleName(entry[:])
		if !isEntry {
			continue
		}
		if name == "_VBA_PROJECT" || name == "_VBA_PROJECT_CUR" {
			return found, errMacros
		}
		if name == "Root Entry" && root == "" {
			root = classes[string(entry[80:84])]
		}
		if streams[name] != "" && stream == "" {
			stream = streams[name]
		}
	}
	switch {
	case found != oleType:
		return found, nil
	case root != "":
		return root, nil
	case stream != "":
		return stream, nil
	}
	return found, nil
}

// oleName is the name of a storage or stream, if these bytes are an entry of a directory.
func oleName(entry []byte) (string, bool) {
	length, object := int(binary.LittleEndian.Uint16(entry[64:])), entry[66]
	if length < 4 || length > 64 || length%2 == 1 || object != 1 && object != 2 && object != 5 {
		return "", false
	}
	name := make([]byte, 0, 32)
	for i := 0; i < length-2; i += 2 {
		if entry[i+1] != 0 || entry[i] == 0 {
			return "", false
		}
		name = append(name, entry[i])
	}
	return string(name), true
}

func ambiguous(mediaType string) *Refused {
	return refuse(Ambiguous, "The file can be read as %s and as another kind of file.", mediaType)
}

// unambiguous refuses what two programs would take for two different files. Pictures need no such check: what is
// beside their pixels is cut.
//
//   - A zip is read from its end: a file that ends as one, and is none, is two.
//   - A PDF may begin anywhere in the first kilobyte. An archive that the operator allows may hold one there.
func unambiguous(in *reader, mediaType string) error {
	header, err := in.bytes(0, 1024+len("%PDF-"))
	if err != nil {
		return err
	}
	if mediaType != pdfType && mediaType != zipType && bytes.Contains(header, []byte("%PDF-")) {
		return ambiguous(mediaType)
	}
	if bytes.HasPrefix(header, []byte("PK")) {
		return nil
	}
	d, ok, err := zipDirectory(in)
	if err != nil {
		return err
	}
	if ok && d.size <= d.end {
		return ambiguous(mediaType)
	}
	return nil
}
