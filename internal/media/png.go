package media

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"slices"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// The chunks that say how to draw a PNG, and those of them that say how its colours are meant.
var (
	pngDrawn = []string{
		"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "iCCP", "cICP", "sBIT", "bKGD", "pHYs",
		"acTL", "fcTL", "fdAT",
	}
	pngColours = []string{"gAMA", "cHRM", "sRGB", "iCCP", "cICP"}
)

// pngLengths are what chunks have at most that say a little.
var pngLengths = map[string]int{
	"PLTE": 768, "IEND": 0, "tRNS": 256, "gAMA": 4, "cHRM": 32, "sRGB": 1, "cICP": 4, "sBIT": 4, "bKGD": 6, "pHYs": 9, "acTL": 8, "fcTL": 26,
}

// cleanPNG keeps the chunks that say how to draw the picture, with their frames if it moves. Texts, Exif, times
// and all other chunks go; so does what comes behind the end. The orientation in Exif is not applied to
// pictures that move: no viewer does.
func cleanPNG(in *reader, out io.Writer) (*picture, error) {
	r := bufio.NewReaderSize(in.all(), 64<<10)
	p := &picture{orientation: 1}
	signature := make([]byte, len(pngSignature))
	if _, err := io.ReadFull(r, signature); err != nil || string(signature) != pngSignature {
		return nil, errors.Join(err, errDamaged)
	}
	if _, err := out.Write(signature); err != nil {
		return nil, err
	}
	head := make([]byte, 8)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return nil, err
		}
		length, kind := int64(binary.BigEndian.Uint32(head)), string(head[4:])
		if length > math.MaxInt32 || (p.width == 0) != (kind == "IHDR") {
			return nil, errDamaged
		}
		if kind == "IDAT" || kind == "fdAT" {
			if err := copyChunk(r, out, head, length); err != nil {
				return nil, err
			}
			continue
		}
		if !slices.Contains(pngDrawn, kind) && kind != "eXIf" {
			if _, err := r.Discard(int(length) + 4); err != nil { // and its checksum
				return nil, err
			}
			continue
		}
		if length > maxProfile {
			return nil, errDamaged
		}
		chunk := make([]byte, 8+length+4)
		copy(chunk, head)
		if _, err := io.ReadFull(r, chunk[8:]); err != nil {
			return nil, err
		}
		if body := chunk[8 : 8+length]; kind == "eXIf" {
			p.orientation = orientation(body)
			continue
		} else if crc32.ChecksumIEEE(chunk[4:8+length]) != binary.BigEndian.Uint32(chunk[8+length:]) {
			return nil, errDamaged
		} else if err := p.readChunk(kind, body); err != nil {
			return nil, err
		}
		if slices.Contains(pngColours, kind) {
			if p.profile = append(p.profile, chunk...); len(p.profile) > maxProfile {
				return nil, errDamaged
			}
		}
		if _, err := out.Write(chunk); err != nil {
			return nil, err
		}
		if kind == "IEND" {
			if p.frames > 0 {
				p.orientation = 1
			}
			return p, nil
		}
	}
}

// copyChunk copies a chunk of any length, and holds it against its checksum.
func copyChunk(r io.Reader, out io.Writer, head []byte, length int64) error {
	sum := crc32.NewIEEE()
	sum.Write(head[4:])
	if _, err := out.Write(head); err != nil {
		return err
	}
	if _, err := io.CopyN(io.MultiWriter(out, sum), r, length); err != nil {
		return err
	}
	var crc [4]byte
	if _, err := io.ReadFull(r, crc[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(crc[:]) != sum.Sum32() {
		return errDamaged
	}
	_, err := out.Write(crc[:])
	return err
}

// readChunk reads the size of the picture, and how much memory decoding takes: four bytes for a
// pixel, one if it is gray, or twice that if it has sixteen bits of a colour, and the passes of an interlaced one once more.
func (p *picture) readChunk(kind string, body []byte) error {
	if most, bounded := pngLengths[kind]; bounded && len(body) > most {
		return errDamaged // there is something else in it
	}
	switch kind {
	case "IHDR":
		if len(body) != 13 {
			return errDamaged
		}
		width, height := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
		if width == 0 || width > math.MaxInt32 || height > math.MaxInt32 {
			return errDamaged
		}
		p.width, p.height = int(width), int(height)
		bytes := int64(4)
		switch depth, colour := body[8], body[9]; {
		case colour == 3:
			bytes = 1
		case colour == 0:
			bytes, p.gray = int64(max(1, depth/8)), true
		case depth == 16:
			bytes = 8
		}
		if p.width > MaxSide || p.height > MaxSide {
			return p.bounded()
		}
		p.decoded = int64(p.width) * int64(p.height) * bytes
		p.working = p.decoded
		if body[12] != 0 {
			p.working += p.decoded
		}
		return p.bounded()
	case "tRNS":
		if p.gray { // with transparency it is held as colours
			p.decoded, p.working, p.gray = 4*p.decoded, 4*p.working, false
		}
		return p.bounded()
	case "fcTL":
		p.frames++
		p.framePixels += int64(p.width) * int64(p.height)
	}
	return nil
}
