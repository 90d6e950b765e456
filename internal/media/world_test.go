package media

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/HugoSmits86/nativewebp"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// inspected is a file that passed, with the bytes that others get.
type inspected struct {
	*File
	content []byte
}

// inspects has bytes inspected as they were announced.
func inspects(t testing.TB, upload []byte, name, mediaType string) (inspected, error) {
	t.Helper()
	return inspectsFor(t, DefaultTypes(), upload, name, mediaType)
}

func inspectsFor(t testing.TB, types Types, upload []byte, name, mediaType string) (inspected, error) {
	t.Helper()
	scratch := func() (*os.File, error) {
		f, err := os.Create(filepath.Join(t.TempDir(), "scratch"))
		if err == nil {
			t.Cleanup(func() { _ = f.Close() })
		}
		return f, err
	}
	f, err := Inspect(context.Background(), bytes.NewReader(upload), int64(len(upload)), Given{name, mediaType}, types, scratch)
	if err != nil {
		return inspected{}, err
	}
	content, err := io.ReadAll(f.Content)
	if err != nil {
		t.Fatal(err)
	}
	return inspected{f, content}, nil
}

// passes is inspects for a file that must pass.
func passes(t testing.TB, upload []byte, name, mediaType string) inspected {
	t.Helper()
	f, err := inspects(t, upload, name, mediaType)
	if err != nil {
		t.Fatalf("%s as %s: %v", name, mediaType, err)
	}
	return f
}

// isRefused checks why a file was refused.
func isRefused(t testing.TB, err error, want Code) {
	t.Helper()
	if refused := (*Refused)(nil); !errors.As(err, &refused) {
		t.Errorf("got %v, want it refused with %s", err, want)
	} else if refused.Code != want || refused.Sentence == "" {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The secret that must never be passed on, in the places where cameras and programs write.
const secret = "GPS of the patient's home"

var (
	red, green  = color.NRGBA{200, 20, 20, 255}, color.NRGBA{20, 200, 20, 255}
	blue, white = color.NRGBA{20, 20, 200, 255}, color.NRGBA{240, 240, 240, 255}
)

// scene is a picture with a colour in each corner: red and green above, blue and white below.
func scene(width, height int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			corner := [2][2]color.NRGBA{{red, green}, {blue, white}}[2*y/height][2*x/width]
			m.SetNRGBA(x, y, corner)
		}
	}
	return m
}

// corners are the colours of the four corners, as letters, from the upper left one in the direction of reading.
func corners(m image.Image) string {
	b := m.Bounds().Inset(2)
	seen := ""
	for _, at := range []image.Point{b.Min, {b.Max.X - 1, b.Min.Y}, {b.Min.X, b.Max.Y - 1}, {b.Max.X - 1, b.Max.Y - 1}} {
		r, g, bl, _ := m.At(at.X, at.Y).RGBA()
		switch r, g, bl = r>>15, g>>15, bl>>15; [3]uint32{r, g, bl} {
		case [3]uint32{1, 0, 0}:
			seen += "r"
		case [3]uint32{0, 1, 0}:
			seen += "g"
		case [3]uint32{0, 0, 1}:
			seen += "b"
		case [3]uint32{1, 1, 1}:
			seen += "w"
		default:
			seen += "?"
		}
	}
	return seen
}

// upright are the corners of the scene when it was stored so that an orientation has to turn it.
var upright = []string{1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb"}

func encoded(t testing.TB, encode func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func aJPEG(t testing.TB, m image.Image) []byte {
	return encoded(t, func(w io.Writer) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: 90}) })
}

func aPNG(t testing.TB, m image.Image) []byte {
	return encoded(t, func(w io.Writer) error { return png.Encode(w, m) })
}

func aWebP(t testing.TB, m image.Image) []byte {
	return encoded(t, func(w io.Writer) error { return nativewebp.Encode(w, m, nil) })
}

func aBMP(t testing.TB, m image.Image) []byte {
	return encoded(t, func(w io.Writer) error { return bmp.Encode(w, m) })
}

func aTIFF(t testing.TB, m image.Image) []byte {
	return encoded(t, func(w io.Writer) error { return tiff.Encode(w, m, &tiff.Options{Compression: tiff.Deflate}) })
}

func aGIF(t testing.TB, frames int) []byte {
	palette := color.Palette{red, green, blue, white}
	moving := &gif.GIF{LoopCount: 7, Config: image.Config{ColorModel: palette, Width: 40, Height: 30}}
	for i := range frames {
		m := image.NewPaletted(image.Rect(0, 0, 40, 30), palette)
		for j := range m.Pix {
			m.Pix[j] = uint8((i + j/7) % 4)
		}
		moving.Image, moving.Delay = append(moving.Image, m), append(moving.Delay, 10*i)
	}
	return encoded(t, func(w io.Writer) error { return gif.EncodeAll(w, moving) })
}

// exif is metadata with an orientation, the name of a device and a place.
func exif(orientation int) []byte {
	b := []byte("MM\x00*\x00\x00\x00\x08\x00\x02")
	entry := func(tag, kind uint16, count, value uint32) {
		b = binary.BigEndian.AppendUint16(b, tag)
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint32(b, count)
		b = binary.BigEndian.AppendUint32(b, value)
	}
	entry(271, 2, uint32(len(secret)), 38)
	entry(274, 3, 1, uint32(orientation)<<16)
	return append(append(b, 0, 0, 0, 0), secret...)
}

// spliced puts bytes into others.
func spliced(b []byte, at int, insert ...[]byte) []byte {
	return slices.Concat(b[:at], slices.Concat(insert...), b[at:])
}

// profile is a colour profile in a JPEG, which is kept.
const profile = "ICC_PROFILE\x00\x01\x01the colours of the scanner"

// photo is a JPEG as phones make them.
func photo(t testing.TB, orientation int) []byte {
	plain := aJPEG(t, scene(64, 48))
	return append(spliced(plain, 2,
		segment(jpegAPP0, []byte("JFIF\x00\x01\x01\x00\x00\x48\x00\x48\x00\x00")),
		segment(jpegAPP1, append([]byte("Exif\x00\x00"), exif(orientation)...)),
		segment(jpegAPP1, []byte("http://ns.adobe.com/xap/1.0/\x00<xmp>"+secret)),
		segment(jpegAPP2, []byte(profile)),
		segment(jpegAPP2, []byte("MPF\x00"+secret)),
		segment(0xED, []byte("Photoshop 3.0\x00"+secret)),
		segment(0xFE, []byte(secret)),
	), "\xff\xd8\xff\xe1 a film: "+secret...)
}

func chunk(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, kind...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// screenshot is a PNG with what programs write into it.
func screenshot(t testing.TB, m image.Image, orientation int) []byte {
	return append(spliced(aPNG(t, m), 33, chunk("tEXt", []byte("Author\x00"+secret)), chunk("gAMA", []byte{0, 0, 0xB1, 0x8F}),
		chunk("eXIf", exif(orientation)), chunk("zzZz", []byte(secret)), chunk("tIME", []byte(secret))), secret...)
}

func riff(chunks ...[]byte) []byte {
	body := append([]byte("WEBP"), slices.Concat(chunks...)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func riffOf(name string, body []byte) []byte {
	b := append(binary.LittleEndian.AppendUint32([]byte(name), uint32(len(body))), body...)
	return append(b, make([]byte, len(body)%2)...)
}

// sticker is a WebP with what programs write into it.
func sticker(t testing.TB, m image.Image, orientation int) []byte {
	size := m.Bounds().Size()
	features := make([]byte, 10)
	features[0] = webpExif | webpXMP
	features[4], features[7] = byte(size.X-1), byte(size.Y-1)
	return append(riff(riffOf("VP8X", features), aWebP(t, m)[12:], riffOf("EXIF", exif(orientation)), riffOf("XMP ", []byte(secret)),
		riffOf("zzzz", []byte(secret))), secret...)
}

// tag is an entry of a TIFF.
type tag struct {
	tag, kind uint16
	count     uint32
	value     []byte // in the entry if it is short, else behind the pixels
}

// scan is a TIFF of gray pixels on pages, with more tags on each.
func scan(pages int, pixels []byte, width, height int, more ...tag) []byte {
	le := binary.LittleEndian
	b := []byte("II*\x00\x00\x00\x00\x00")
	b = append(b, pixels...)
	link := 4
	for range pages {
		tags := append([]tag{
			{256, 4, 1, le.AppendUint32(nil, uint32(width))},
			{257, 4, 1, le.AppendUint32(nil, uint32(height))},
			{258, 3, 1, []byte{8, 0}},
			{259, 3, 1, []byte{1, 0}},
			{262, 3, 1, []byte{1, 0}},
			{273, 4, 1, le.AppendUint32(nil, 8)},
			{277, 3, 1, []byte{1, 0}},
			{279, 4, 1, le.AppendUint32(nil, uint32(len(pixels)))},
		}, more...)
		slices.SortStableFunc(tags, func(a, b tag) int { return int(a.tag) - int(b.tag) })
		tags = slices.CompactFunc(tags, func(a, b tag) bool { return a.tag == b.tag })
		var list []byte
		for _, g := range tags {
			list = le.AppendUint16(list, g.tag)
			list = le.AppendUint16(list, g.kind)
			list = le.AppendUint32(list, g.count)
			if len(g.value) > 4 {
				list = le.AppendUint32(list, uint32(len(b)))
				b = append(b, g.value...)
			} else {
				list = append(list, append(g.value, 0, 0, 0, 0)[:4]...)
			}
		}
		le.PutUint32(b[link:], uint32(len(b)))
		b = le.AppendUint16(b, uint16(len(tags)))
		b = append(b, list...)
		link = len(b)
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

// archive is a zip of files with these names.
func archive(t testing.TB, names ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, map[string]string{"mimetype": "application/vnd.oasis.opendocument.text"}[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// aPDF writes objects, and a table of where they stand.
func aPDF(trailer string, objects ...string) []byte {
	b := []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	table := fmt.Sprintf("xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for i, object := range objects {
		table += fmt.Sprintf("%010d 00000 n \n", len(b))
		b = fmt.Appendf(b, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	return fmt.Appendf(b, "%strailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", table, len(objects)+1, trailer, len(b))
}

// report is a PDF of a number of pages.
func report(pages int) []byte {
	return aPDF("", "<< /Type /Catalog /Pages 2 0 R >>", fmt.Sprintf("<< /Type /Pages /Kids [] /Count %d >>", pages))
}
