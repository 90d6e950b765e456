package media

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// manyArrays is a PDF of a few kilobytes whose catalogue is an array of two million arrays.
func manyArrays(t *testing.T) []byte {
	t.Helper()
	var packed bytes.Buffer
	packer := zlib.NewWriter(&packed)
	if _, err := packer.Write([]byte("1 0 [" + strings.Repeat("[]", 2<<20-8) + "]")); err != nil {
		t.Fatal(err)
	}
	if err := packer.Close(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	objects := b.Len()
	fmt.Fprintf(&b, "2 0 obj\n<</Type/ObjStm/N 1/First 4/Filter/FlateDecode/Length %d>>\nstream\n%s\nendstream\nendobj\n", packed.Len(), packed.Bytes())
	list := b.Len()
	rows := []byte{0, 0, 0, 0, 2, 0, 2, 0, 1, byte(objects >> 8), byte(objects), 0}
	fmt.Fprintf(&b, "3 0 obj\n<</Type/XRef/Size 3/W[1 2 1]/Root 1 0 R/Length %d>>\nstream\n%s\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n", len(rows), rows, list)
	return b.Bytes()
}

// manyValues is a scan of a megabyte with pages whose tags all say that they have a million values there.
func manyValues(pages int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("II*\x00"), 0)
	values := len(b)
	b = append(b, bytes.Repeat([]byte{1}, 1<<20)...)
	before := 4
	var tags []uint16
	for tag := range tiffDrawn {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	for range pages {
		binary.LittleEndian.PutUint32(b[before:], uint32(len(b)))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(tags)))
		for _, tag := range tags {
			b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, tag), tiffByte)
			b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, 1<<20), uint32(values))
		}
		before = len(b)
		b = binary.LittleEndian.AppendUint32(b, 0)
	}
	return b
}

// A small file must not make the server hold or do much. Not in parallel: it counts what the whole process allocates.
func TestASmallFileTakesNoMemoryThatItOnlyClaims(t *testing.T) {
	for name, test := range map[string]struct {
		content []byte
		most    uint64
	}{
		"a PDF of arrays": {manyArrays(t), 40 << 20}, // of which four megabytes are inflated, into a buffer that grows
		"a scan of tags":  {manyValues(200), 60 << 20},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Inspect(t.Context(), bytes.NewReader(test.content), int64(len(test.content)), Given{}, DefaultTypes(), func() (*os.File, error) {
			return os.Create(filepath.Join(t.TempDir(), "scratch"))
		})
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; taken > test.most {
			t.Errorf("%s took %d MB (%v)", name, taken>>20, err)
		} else {
			t.Logf("%s took %d MB (%v)", name, taken>>20, err)
		}
	}
}

func TestAChunkOfAPNGHoldsNothingBesides(t *testing.T) {
	t.Parallel()
	picture := aPNG(t, scene(8, 8))
	for _, kind := range []string{"pHYs", "sBIT", "gAMA", "bKGD", "cHRM", "sRGB"} {
		isRefusedPicture(t, spliced(picture, 33, chunk(kind, []byte("GPS 47.3769 N, 8.5417 E: "+secret))))
	}
}

func isRefusedPicture(t *testing.T, content []byte) {
	t.Helper()
	_, err := Inspect(t.Context(), bytes.NewReader(content), int64(len(content)), Given{}, DefaultTypes(), func() (*os.File, error) {
		return os.Create(filepath.Join(t.TempDir(), "scratch"))
	})
	isRefused(t, err, Damaged)
}
