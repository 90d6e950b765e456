package media

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestANameIsMadeHarmless(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"scan.pdf":                            "scan.pdf",
		"Röntgen Thorax 2026-01-02.jpg":       "Röntgen Thorax 2026-01-02.jpg",
		"Ro\u0308ntgen.jpg":                   "Röntgen.jpg",
		"../../etc/passwd":                    "passwd",
		`C:\Users\ann\scan.pdf`:               "scan.pdf",
		"a/b\\c/":                             "file",
		"":                                    "file",
		".":                                   "file",
		"..":                                  "file",
		" . . ":                               "file",
		".htaccess":                           "htaccess",
		"scan.pdf. .":                         "scan.pdf",
		"invoice\u202Efdp.exe":                "invoicefdp.exe",
		"a\u2066b\u2069c\u200Bd\uFEFFe.txt":   "abcde.txt",
		"a\x00b\nc\td\x7f.txt":                "abcd.txt",
		"a\u2028b\u00a0c.txt":                 "ab c.txt",
		`what<is>this:"now|then?*.txt`:        "what_is_this__now_then__.txt",
		"CON":                                 "_CON",
		"nul.txt":                             "_nul.txt",
		"Com1 .tar.gz":                        "_Com1 .tar.gz",
		"LPT¹.pdf":                            "_LPT¹.pdf",
		"COM10.pdf":                           "COM10.pdf",
		"console.log":                         "console.log",
		strings.Repeat("a", 300) + ".pdf":     strings.Repeat("a", 196) + ".pdf",
		strings.Repeat("日", 200) + ".pdf":     strings.Repeat("日", 83) + ".pdf",
		"a." + strings.Repeat("b", 300):       "a." + strings.Repeat("b", 198),
		"e\u200b\u0301.txt":                   "é.txt",
		strings.Repeat("a", 199) + ". .b.pdf": strings.Repeat("a", 196) + ".pdf",
	} {
		got, err := CleanName(name)
		if err != nil || got != want {
			t.Errorf("%q becomes %q, %v, want %q", name, got, err, want)
		}
	}
	_, err := CleanName("a\xff.txt")
	isRefused(t, err, InvalidName)
}

func FuzzCleanName(f *testing.F) {
	for _, name := range []string{"", "..", "CON.txt", "a/b", "\u202e", strings.Repeat("\u0958", 300), "a.\u0301", "con\u0301", ". a ."} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := CleanName(name)
		if err != nil {
			return
		}
		if !utf8.ValidString(got) || !norm.NFC.IsNormalString(got) || got == "" || len(got) > MaxNameBytes ||
			utf8.RuneCountInString(got) > MaxName || strings.ContainsAny(got, "/\\<>:\"|?*\x00\n\u202e") || got[0] == '.' || got[len(got)-1] == '.' {
			t.Errorf("%q becomes %q", name, got)
		}
		if again, err := CleanName(got); err != nil || again != got {
			t.Errorf("%q becomes %q, and that %q", name, got, again)
		}
		if fitted := fitName(got, pdfType); !strings.HasSuffix(strings.ToLower(fitted), ".pdf") || len(fitted) > MaxNameBytes ||
			utf8.RuneCountInString(fitted) > MaxName {
			t.Errorf("%q as a PDF is %q", got, fitted)
		}
	})
}

func TestANamePromisesTheTypeThatTheFileHas(t *testing.T) {
	t.Parallel()
	text := []byte("the scan is in\n")
	for _, c := range []struct {
		upload     []byte
		name, want string
	}{
		{report(1), "report.pdf", "report.pdf"},
		{report(1), "report.PDF", "report.PDF"},
		{report(1), "report.exe", "report.exe.pdf"},
		{report(1), "report", "report.pdf"},
		{report(1), "", "file.pdf"},
		{report(1), strings.Repeat("a", 198) + ".x", strings.Repeat("a", 196) + ".pdf"},
		{text, "notes.md", "notes.md"},
		{text, "notes.html", "notes.html.txt"},
		{text, "run.bat", "run.bat.txt"},
		{aJPEG(t, scene(9, 9)), "photo.jpeg", "photo.jpeg"},
		{aJPEG(t, scene(9, 9)), "photo.png", "photo.png.jpg"},
	} {
		if f := passes(t, c.upload, c.name, ""); f.Name != c.want {
			t.Errorf("%q is called %q, want %q", c.name, f.Name, c.want)
		}
	}
}

func ole(names ...string) []byte {
	b := append([]byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"), make([]byte, 8184)...)
	binary.LittleEndian.PutUint16(b[26:], 3)
	binary.LittleEndian.PutUint16(b[30:], 9)
	for _, name := range append([]string{"Root Entry"}, names...) {
		entry := make([]byte, oleEntrySize)
		for i := range name {
			entry[2*i] = name[i]
		}
		binary.LittleEndian.PutUint16(entry[64:], uint16(2*len(name)+2))
		entry[66] = 2
		b = append(b, entry...)
	}
	return b
}

func TestAFileIsWhatItsBytesAre(t *testing.T) {
	t.Parallel()
	dicom := append(append(make([]byte, 128), "DICM"...), make([]byte, 99)...)
	for name, c := range map[string]struct {
		upload          []byte
		announced, want string
	}{
		"a PDF":                          {report(1), "application/pdf", pdfType},
		"a PDF by another name":          {report(1), "application/X-PDF; version=1", pdfType},
		"a PDF of which nothing is said": {report(1), "", pdfType},
		"a PDF as bytes":                 {report(1), "application/octet-stream", pdfType},
		"a text":                         {[]byte("hello"), "text/plain; charset=utf-8", plain},
		"a text in Latin-1":              {[]byte("R\xf6ntgen"), plain, plain},
		"a text in UTF-16":               {[]byte("\xff\xfeh\x00i\x00"), plain, plain},
		"a table":                        {[]byte("name,born\nann,1980\nbob,1990\n"), "text/csv", "text/csv"},
		"a table like a text":            {[]byte("one line"), "text/csv", "text/csv"},
		"a table as a text":              {[]byte("name,born\nann,1980\nbob,1990\n"), plain, plain},
		"a table by Excel":               {[]byte("name;born\nann;1980\n"), "text/csv", "text/csv"},
		"JSON as a text":                 {[]byte(`{"a": 1}`), plain, plain},
		"JSON of which nothing is said":  {[]byte(`{"a": 1}`), "", plain},
		"RTF":                            {[]byte(`{\rtf1 hello}`), "text/rtf", "application/rtf"},
		"a document":                     {archive(t, "[Content_Types].xml", "_rels/.rels", "word/document.xml"), docxType, docxType},
		"a document in another order":    {archive(t, "word/document.xml", "_rels/.rels", "[Content_Types].xml"), docxType, docxType},
		"a document after many parts": {
			archive(t, append([]string{"[Content_Types].xml"}, append(slices.Repeat([]string{"customXml/" + strings.Repeat("x", 200)}, 50), "word/document.xml")...)...),
			docxType, docxType,
		},
		"a spreadsheet":          {archive(t, "[Content_Types].xml", "xl/workbook.xml"), xlsxType, xlsxType},
		"slides":                 {archive(t, "[Content_Types].xml", "ppt/presentation.xml"), pptxType, pptxType},
		"an OpenDocument text":   {archive(t, "mimetype", "content.xml"), "", "application/vnd.oasis.opendocument.text"},
		"an old document":        {ole("WordDocument", "1Table"), docType, docType},
		"an old spreadsheet":     {ole("Workbook"), xlsType, xlsType},
		"old slides":             {ole("PowerPoint Document"), pptType, pptType},
		"DICOM":                  {dicom, "application/dicom", "application/dicom"},
		"an MP3":                 {append([]byte("ID3\x03\x00\x00\x00\x00\x00\x0a"), make([]byte, 200)...), "audio/mp3", "audio/mpeg"},
		"a WAV":                  {[]byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"), "audio/x-wav", "audio/wav"},
		"a film":                 {[]byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42"), "video/mp4", "video/mp4"},
		"a voice in a film":      {[]byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42"), "audio/x-m4a", "audio/mp4"},
		"a QuickTime film":       {[]byte("\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  "), "video/quicktime", "video/quicktime"},
		"an Ogg":                 {append([]byte("OggS\x00\x02"), append(make([]byte, 22), "\x01vorbis"...)...), "audio/ogg", "audio/ogg"},
		"a JPEG by another name": {aJPEG(t, scene(9, 9)), "image/jpg", jpegType},
	} {
		if f, err := inspects(t, c.upload, "a", c.announced); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if f.MediaType != c.want {
			t.Errorf("%s is said to be %s", name, f.MediaType)
		}
	}
}

func TestWhatIsDangerousOrLiesIsRefused(t *testing.T) {
	t.Parallel()
	html := []byte("<!DOCTYPE html><html><script>alert(1)</script></html>")
	exe := append([]byte("MZ\x90\x00"), make([]byte, 200)...)
	zipped := archive(t, "a.txt")
	for name, c := range map[string]struct {
		upload    []byte
		announced string
		want      Code
	}{
		"nothing":                         {nil, "", Empty},
		"HTML":                            {html, "text/html", NotAllowed},
		"HTML as a text":                  {html, plain, NotAllowed},
		"HTML as a picture":               {html, jpegType, NotAllowed},
		"SVG as a text":                   {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`), plain, NotAllowed},
		"SVG behind a mark as a text":     {[]byte("\xef\xbb\xbf<svg xmlns='http://www.w3.org/2000/svg'/>"), plain, NotAllowed},
		"XML as a text":                   {[]byte(`<?xml version="1.0"?><a/>`), plain, NotAllowed},
		"a script as a text":              {[]byte("#!/opt/anything\necho hello\n"), plain, NotAllowed},
		"PHP as a text":                   {[]byte("<?php system($_GET['x']);"), plain, NotAllowed},
		"a program":                       {exe, "", NotAllowed},
		"a program as a PDF":              {exe, pdfType, NotAllowed},
		"an ELF":                          {append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 99)...), "", NotAllowed},
		"a PDF as a picture":              {report(1), jpegType, TypeMismatch},
		"a picture as a PDF":              {aJPEG(t, scene(9, 9)), pdfType, TypeMismatch},
		"a PNG as a JPEG":                 {aPNG(t, scene(9, 9)), jpegType, TypeMismatch},
		"a text as a document":            {[]byte("hello"), docxType, TypeMismatch},
		"a text as a made-up type":        {[]byte("hello"), "text/<script>", TypeMismatch},
		"noise as a JPEG":                 {[]byte{1, 2, 3, 4, 5, 6, 7, 8}, jpegType, TypeMismatch},
		"noise":                           {[]byte{1, 2, 3, 4, 5, 6, 7, 8}, "", NotAllowed},
		"a text with a NUL behind":        {append(bytes.Repeat([]byte("text "), 2000), 0), "", NotAllowed},
		"half a character of UTF-16":      {[]byte("\xff\xfeh\x00i"), "", NotAllowed},
		"half a pair of UTF-16":           {[]byte("\xff\xfe\x00\xd8h\x00"), "", NotAllowed},
		"a zip":                           {zipped, "", NotAllowed},
		"a zip as a document":             {zipped, docxType, NotAllowed},
		"a program in Java as a document": {archive(t, "META-INF/MANIFEST.MF", "word/a.class"), docxType, NotAllowed},
		"a document with macros":          {archive(t, "[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"), docxType, NotAllowed},
		"a spreadsheet with macros":       {archive(t, "[Content_Types].xml", "xl/workbook.xml", `XL\VBAPROJECT.BIN`), xlsxType, NotAllowed},
		"slides with macros":              {archive(t, "[Content_Types].xml", "ppt/presentation.xml", "ppt/vbaProject.bin"), "", NotAllowed},
		"a spreadsheet with old macros":   {archive(t, "[Content_Types].xml", "xl/workbook.xml", "xl/macrosheets/sheet1.xml"), "", NotAllowed},
		"a binary spreadsheet":            {archive(t, "[Content_Types].xml", "xl/workbook.bin"), "", NotAllowed},
		"an old document with macros":     {ole("WordDocument", "_VBA_PROJECT"), docType, NotAllowed},
		"an OLE file of another kind":     {ole("Anything"), "", NotAllowed},
		"half a document":                 {archive(t, "[Content_Types].xml", "word/document.xml")[:100], docxType, Damaged},
		"a PDF and a zip":                 {append(report(1), zipped...), pdfType, Ambiguous},
		"a sound and a zip":               {append(append([]byte("ID3\x03\x00\x00\x00\x00\x00\x0a"), make([]byte, 200)...), zipped...), "", Ambiguous},
		"a film and a zip":                {append([]byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42"), zipped...), "", Ambiguous},
		"an old document and a zip":       {append(ole("WordDocument"), zipped...), "", Ambiguous},
		"a text and a PDF":                {append([]byte("hello\n"), report(1)...), "", Ambiguous},
		"a script and a PDF":              {append([]byte("<script>"), report(1)...), "", Ambiguous},
		"a document and a PDF":            {archive(t, "[Content_Types].xml", "%PDF-1.7", "word/document.xml"), "", Ambiguous},
		"a document behind another zip":   {append(archive(t, "[Content_Types].xml", "word/document.xml"), zipped...), "", Damaged},
		"a GIF that is JavaScript":        {[]byte("GIF89a/*\x01\x01*/=1;alert(1)"), "", Damaged},
	} {
		_, err := inspects(t, c.upload, "a", c.announced)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if refused := (*Refused)(nil); !errors.As(err, &refused) || refused.Code != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		} else if strings.ContainsAny(refused.Sentence, "<>") {
			t.Errorf("%s: the sentence repeats what was sent: %s", name, refused.Sentence)
		}
	}
}

func TestAnOrdinaryPDFWithAnArchiveInsideIsNotTwoFiles(t *testing.T) {
	t.Parallel()
	attachment := string(archive(t, "letter.docx"))
	b := aPDF("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Count 1 >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(attachment), attachment))
	passes(t, b, "a.pdf", pdfType)
	passes(t, append([]byte("\xef\xbb\xbf\r\n"), report(1)...), "a.pdf", pdfType)
}

func TestAnOperatorMayAllowMoreOrLess(t *testing.T) {
	t.Parallel()
	types, err := ParseTypes(" application/zip,image/svg+xml, text/rtf ,image/svg+xml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := types.String(), "application/rtf,application/zip,image/svg+xml"; got != want {
		t.Errorf("the list is %s, want %s", got, want)
	}
	if again, err := ParseTypes(types.String()); err != nil || !slices.Equal(again.List(), types.List()) {
		t.Errorf("the list is not read as it is written: %v", err)
	}
	if f, err := inspectsFor(t, types, archive(t, "a.pdf"), "a.zip", ""); err != nil || f.MediaType != zipType {
		t.Errorf("a zip: %v", err)
	}
	_, err = inspectsFor(t, types, []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), "a.svg", plain)
	isRefused(t, err, TypeMismatch)
	_, err = inspectsFor(t, types, report(1), "a.pdf", pdfType)
	isRefused(t, err, NotAllowed)
	if _, err := ParseTypes("image/jpeg,application/x-made-up"); err == nil || !strings.Contains(err.Error(), "application/pdf") {
		t.Errorf("a type that is unknown is not refused with those that are known: %v", err)
	}
	if _, err := ParseTypes(" ,"); err == nil {
		t.Error("a list of nothing is a list")
	}
	if types := DefaultTypes(); !types.Allow("IMAGE/JPG") || types.Allow("text/html") || types.Allow("") || types.Allow("application/zip") {
		t.Error("the default list is another one")
	}
}

// compressedPDF writes its objects into a stream, and where they stand into another, as PDFs since 1.5 do.
func compressedPDF(t testing.TB, trailer string, predictor bool, garble bool) []byte {
	deflated := func(b []byte) string {
		return string(encoded(t, func(w io.Writer) error {
			z := zlib.NewWriter(w)
			_, err := z.Write(b)
			return errors.Join(err, z.Close())
		}))
	}
	catalogue, pages := "<< /Type /Catalog /Pages 2 0 R >> ", "<< /Type /Pages /Count 41 >>"
	head := fmt.Sprintf("1 0 2 %d ", len(catalogue))
	objects := deflated([]byte(head + catalogue + pages))
	if garble {
		objects = strings.Repeat("\x77", len(objects))
	}
	b := []byte("%PDF-1.7\n")
	at := len(b)
	b = fmt.Appendf(b, "3 0 obj\n<< /Type /ObjStm /N 2 /First %d /Filter /FlateDecode /Length %d >>\nstream\r\n%s\nendstream\nendobj\n", len(head), len(objects), objects)
	xref := len(b)
	rows := [][]byte{{0, 0, 0, 255}, {2, 0, 3, 0}, {2, 0, 3, 1}, {1, byte(at >> 8), byte(at), 0}, {1, byte(xref >> 8), byte(xref), 0}}
	var table []byte
	parameters := ""
	before := make([]byte, 4)
	for _, row := range rows {
		if predictor {
			table = append(table, 2)
			for i := range row {
				table = append(table, row[i]-before[i])
			}
			before, parameters = row, "/DecodeParms << /Predictor 12 /Columns 4 >>"
		} else {
			table = append(table, row...)
		}
	}
	stream := deflated(table)
	return fmt.Appendf(b, "4 0 obj\n<< /Type /XRef /W [1 2 1] /Size 5 /Root 1 0 R %s %s /Filter [/FlateDecode] /Length %d >>\nstream\n%s\nendstream\nendobj\nstartxref\n%d\n%%%%EOF",
		trailer, parameters, len(stream), stream, xref)
}

func TestThePagesOfAPDFAreCounted(t *testing.T) {
	t.Parallel()
	first := report(3)
	offset := bytes.LastIndex(first, []byte("startxref"))
	updated := append(slices.Clone(first), "2 0 obj\n<< /Count 4 /Type /Pages /Kids [ (a string \\) ] ) <</Count 9>> ] >>\nendobj\n"...)
	at := len(updated)
	updated = fmt.Appendf(updated, "xref\n0 1\n0000000000 65535 f \n2 1\n%010d 00000 n \ntrailer\n<< /Size 3 /Root 1 0 R /Prev %s >>\nstartxref\n%d\n%%%%EOF\n",
		len(first), bytes.Fields(first[offset:])[1], at)
	for name, c := range map[string]struct {
		upload []byte
		want   int
	}{
		"a table":                  {report(17), 17},
		"an update":                {updated, 4},
		"streams":                  {compressedPDF(t, "", false, false), 41},
		"streams with differences": {compressedPDF(t, "", true, false), 41},
		"encrypted objects":        {compressedPDF(t, "/Encrypt 9 0 R", true, true), 0},
		"a circle":                 {aPDF("/Prev 9", "<< /Type /Catalog /Pages 1 0 R >>"), 0},
		"no pages":                 {aPDF("", "<< /Type /Catalog >>"), 0},
		"a count that lies":        {aPDF("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Count 99999999999 >>"), 0},
		"no end":                   {report(3)[:60], 0},
		"values in values":         {aPDF("", strings.Repeat("[<<", 9_999)), 0},
	} {
		if f := passes(t, c.upload, "a.pdf", pdfType); f.Pages != c.want {
			t.Errorf("%s: %d pages, want %d", name, f.Pages, c.want)
		}
	}
}

func FuzzPagesOfAPDF(f *testing.F) {
	f.Add(report(3))
	f.Add(compressedPDF(f, "", true, false))
	f.Add(compressedPDF(f, "", false, false))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := countPages(newReader(t.Context(), bytes.NewReader(b), int64(len(b)))); n < 0 || n > 1_000_000 {
			t.Errorf("%d pages", n)
		}
	})
}

// FuzzInspect holds that what passed passes again, as the same.
func FuzzInspect(f *testing.F) {
	for _, b := range [][]byte{
		photo(f, 6), screenshot(f, scene(9, 9), 6), sticker(f, scene(9, 9), 1), aGIF(f, 2), aBMP(f, scene(9, 9)), aTIFF(f, scene(9, 9)), report(2),
		archive(f, "[Content_Types].xml", "word/document.xml"), ole("WordDocument"), []byte("hello"), []byte("a,b\n1,2\n"),
	} {
		f.Add(b, "a/b.txt", "")
	}
	f.Fuzz(func(t *testing.T, b []byte, name, mediaType string) {
		first, err := inspects(t, b, name, mediaType)
		if err != nil {
			if refused := (*Refused)(nil); !errors.As(err, &refused) {
				t.Fatal(err)
			}
			return
		}
		again, err := inspects(t, first.content, first.Name, first.MediaType)
		if err != nil {
			t.Fatalf("what passed as %s does not pass again: %v", first.MediaType, err)
		}
		if again.Name != first.Name || again.MediaType != first.MediaType || again.Width != first.Width || again.Height != first.Height ||
			!bytes.Equal(again.content, first.content) {
			t.Errorf("%s, %s, %d by %d is %s, %s, %d by %d when it is inspected again", first.Name, first.MediaType, first.Width, first.Height,
				again.Name, again.MediaType, again.Width, again.Height)
		}
	})
}

// holed is a large file that begins and ends with something.
func holed(t *testing.T, start, end []byte, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "large"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.Write(start); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(end, size-int64(len(end))); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestMemoryDoesNotGrowWithTheFile runs alone, because it counts what everybody allocates.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	const size = 200 << 20
	pdf := report(3)
	document := archive(t, "[Content_Types].xml", "word/document.xml")
	directory := bytes.Index(document, []byte(zipEntry))
	end := slices.Clone(document[directory:])
	at := size - len(end)
	binary.LittleEndian.PutUint32(end[len(end)-6:], uint32(at))
	for name, c := range map[string]struct {
		file *os.File
		want Code
	}{
		"a PDF":           {holed(t, pdf[:100], pdf[100:], size), ""},
		"a document":      {holed(t, document[:directory], end, size), ""},
		"an old document": {holed(t, ole("WordDocument"), nil, size), ""},
		"a film":          {holed(t, []byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42"), []byte{0}, size), ""},
		"a text":          {holed(t, bytes.Repeat([]byte("hello "), 1000), []byte{0}, size), NotAllowed},
		"a PNG":           {holed(t, append([]byte(pngSignature), chunk("IHDR", []byte{0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0})...), []byte{0}, size), Damaged},
		"a TIFF":          {holed(t, scan(1, []byte{1, 2, 3, 4}, 2, 2), []byte{0}, size), ""},
	} {
		info, err := c.file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		scratch := func() (*os.File, error) { return os.Create(filepath.Join(t.TempDir(), "scratch")) }
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = Inspect(context.Background(), c.file, info.Size(), Given{Name: "a"}, DefaultTypes(), scratch)
		runtime.ReadMemStats(&after)
		if refused := (*Refused)(nil); c.want == "" && err != nil || c.want != "" && (!errors.As(err, &refused) || refused.Code != c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 2<<20 {
			t.Errorf("%s of 200 MB took %d KB of memory", name, took>>10)
		}
	}
}
