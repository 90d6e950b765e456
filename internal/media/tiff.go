package media

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

const (
	tiffEntrySize = 12
	tiffByte      = 1
	tiffShort     = 3
	tiffLong      = 4

	maxTIFFPages  = 10_000
	maxTIFFTags   = 4 << 20 // bytes of all lists of tags
	maxTIFFPieces = 1 << 18 // strips and tiles of all pages

	maxTIFFNumbers = 1 << 20 // values of the tags that are read
)

// The tags that are read here.
const (
	tagWidth        = 256
	tagHeight       = 257
	tagBits         = 258
	tagCompression  = 259
	tagPhotometric  = 262
	tagStripOffsets = 273
	tagSamples      = 277
	tagRows         = 278
	tagStripCounts  = 279
	tagPlanar       = 284
	tagTileWidth    = 322
	tagTileHeight   = 323
	tagTileOffsets  = 324
	tagTileCounts   = 325
	tagExtraSamples = 338
	tagJPEGTables   = 347
	tagICC          = 34675
)

// tiffRead are those whose values are looked at.
var tiffRead = map[uint16]bool{
	tagWidth: true, tagHeight: true, tagBits: true, tagCompression: true, tagPhotometric: true, tagStripOffsets: true, tagSamples: true,
	tagRows: true, tagStripCounts: true, tagPlanar: true, tagTileWidth: true, tagTileHeight: true, tagTileOffsets: true,
	tagTileCounts: true, tagExtraSamples: true, orientationTag: true,
}

// tiffDrawn are the tags that say how to draw a page. All others go, those of descriptions, devices,
// places, programs and makers among them, and lists of tags that are reached only through others.
var tiffDrawn = map[uint16]bool{
	254: true, 255: true, tagWidth: true, tagHeight: true, tagBits: true, tagCompression: true, tagPhotometric: true,
	263: true, 264: true, 265: true, 266: true, tagStripOffsets: true, orientationTag: true, tagSamples: true, tagRows: true,
	tagStripCounts: true, 280: true, 281: true, 282: true, 283: true, tagPlanar: true, 290: true, 291: true, 292: true, 293: true,
	296: true, 297: true, 301: true, 317: true, 318: true, 319: true, 320: true, 321: true, tagTileWidth: true, tagTileHeight: true,
	tagTileOffsets: true, tagTileCounts: true, 326: true, 327: true, 328: true, 332: true, 334: true, 336: true,
	tagExtraSamples: true, 339: true, 340: true, 341: true, 342: true, tagJPEGTables: true, 529: true, 530: true, 531: true, 532: true,
	tagICC: true,
}

// tiffPlaces are the tags that say where the strips and tiles stand. They have a number for each of them.
var tiffPlaces = map[uint16]bool{tagStripOffsets: true, tagStripCounts: true, tagTileOffsets: true, tagTileCounts: true}

// tiffSizes are the bytes of a value of each type.
var tiffSizes = []int64{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4}

const (
	compressedNot     = 1
	compressedG3      = 3
	compressedG4      = 4
	compressedOldJPEG = 6
	compressedJPEG    = 7
)

// errOldJPEG is of a compression that was withdrawn in 1995, in which whole files with metadata of their own hide.
var errOldJPEG = refuse(NotAllowed, "Files of the type %s with the old JPEG compression are not accepted.", tiffType)

// cleanTIFF keeps, at their places, the lists of tags reduced to those that are drawn, what these point to, and the
// strips and tiles of all pages. Everything between is zeros, so that nothing stays that no tag points to; what is
// behind the last of it is cut. The orientation stays a tag, as viewers of TIFFs heed it.
func cleanTIFF(in *reader, out io.Writer) (*picture, error) {
	header, err := in.bytes(0, 8)
	if err != nil {
		return nil, err
	}
	order := byteOrder(header)
	if order == nil || len(header) < 8 {
		return nil, errDamaged
	}
	t := &tiffFile{in: in, order: order}
	t.spans = append(t.spans, span{from: 0, to: 8, data: header})
	var first *tiffPage
	read, seen := 0, map[int64]bool{}
	for offset := int64(order.Uint32(header[4:])); offset != 0; {
		if seen[offset] || len(seen) == maxTIFFPages {
			return nil, errDamaged
		}
		seen[offset] = true
		page, next, err := t.readPage(offset)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = page
		}
		if read += len(page.list); read > maxTIFFTags {
			return nil, errDamaged
		}
		offset = next
	}
	if first == nil {
		return nil, errDamaged
	}
	p, err := first.picture()
	if err != nil {
		return nil, err
	}
	if err := p.bounded(); err != nil {
		return nil, err
	}
	return p, t.write(out)
}

// span is a part of the file that is kept. If it has data, it is written in its place, and nothing else
// may overlap it.
type span struct {
	from, to int64
	data     []byte
}

type tiffFile struct {
	in    *reader
	order binary.ByteOrder
	spans []span
	// numbersRead counts the values of all pages.
	numbersRead int
}

// keep takes over bytes as they are.
func (t *tiffFile) keep(from, to int64) error {
	if from < 0 || from >= t.in.size || len(t.spans) > maxTIFFPieces {
		return errDamaged
	}
	to = min(to, t.in.size)
	if last := &t.spans[len(t.spans)-1]; last.data == nil && last.to == from {
		last.to = to
		return nil
	}
	t.spans = append(t.spans, span{from: from, to: to})
	return nil
}

// write writes what is kept, with zeros between.
func (t *tiffFile) write(out io.Writer) error {
	slices.SortStableFunc(t.spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	at, alone := int64(0), int64(0) // how far all spans go, and those that nothing may overlap
	for _, s := range t.spans {
		if s.from < alone || s.data != nil && s.from < at {
			return errDamaged
		}
		if s.from > at {
			if _, err := io.CopyN(out, zeros{}, s.from-at); err != nil {
				return err
			}
			at = s.from
		}
		if s.data != nil {
			if _, err := out.Write(s.data); err != nil {
				return err
			}
			alone = s.to
		} else if s.to > at {
			if _, err := io.CopyN(out, io.NewSectionReader(t.in, at, s.to-at), s.to-at); err != nil {
				return err
			}
		}
		at = max(at, s.to)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// tiffPage is a list of tags, with the first values of the numbers among them.
type tiffPage struct {
	list   []byte
	values map[uint16][]int64
}

// number is the first value of a tag, or what goes without saying.
func (p *tiffPage) number(tag uint16, otherwise int64) int64 {
	if values := p.values[tag]; len(values) > 0 {
		return values[0]
	}
	return otherwise
}

// readPage reads a list of tags and keeps what is drawn of it. It returns where the next list stands.
func (t *tiffFile) readPage(offset int64) (*tiffPage, int64, error) {
	head, err := t.in.bytes(offset, 2)
	if err != nil || len(head) < 2 {
		return nil, 0, errors.Join(err, errDamaged)
	}
	n := int(t.order.Uint16(head)) * tiffEntrySize
	entries, err := t.in.bytes(offset+2, n+4)
	if err != nil || len(entries) < n+4 {
		return nil, 0, errors.Join(err, errDamaged)
	}
	page := &tiffPage{list: make([]byte, 2), values: map[uint16][]int64{}}
	for entry := range slices.Chunk(entries[:n], tiffEntrySize) {
		tag := t.order.Uint16(entry)
		if !tiffDrawn[tag] || page.values[tag] != nil {
			continue
		}
		size, err := t.size(entry)
		if err != nil {
			return nil, 0, err
		}
		value := entry[8:]
		if size > 4 {
			if value, err = t.keepValue(tag, int64(t.order.Uint32(value)), size); err != nil {
				return nil, 0, err
			}
		}
		page.values[tag] = []int64{}
		if tiffRead[tag] {
			page.values[tag] = t.numbers(entry, value)
		}
		if t.numbersRead += len(page.values[tag]); t.numbersRead > maxTIFFNumbers {
			return nil, 0, refuse(PictureTooLarge, "The scan is too large: it has too many pages, or they are in too many pieces.")
		}
		page.list = append(page.list, entry...)
	}
	next := int64(t.order.Uint32(entries[n:]))
	t.order.PutUint16(page.list, uint16((len(page.list)-2)/tiffEntrySize))
	page.list = append(page.list, entries[n:]...)
	if err := t.keepPieces(page); err != nil {
		return nil, 0, err
	}
	t.spans = append(t.spans, span{from: offset, to: offset + int64(len(page.list)), data: page.list})
	return page, next, nil
}

// size is how many bytes the values of a tag take.
func (t *tiffFile) size(entry []byte) (int64, error) {
	kind := int(t.order.Uint16(entry[2:]))
	if kind == 0 || kind >= len(tiffSizes) {
		return 0, errDamaged
	}
	return tiffSizes[kind] * int64(t.order.Uint32(entry[4:])), nil
}

// keepValue keeps values that stand elsewhere in the file, and returns the start of them.
func (t *tiffFile) keepValue(tag uint16, from, size int64) ([]byte, error) {
	if from+size > t.in.size {
		return nil, errDamaged
	}
	if tag == tagJPEGTables {
		return nil, t.keepJPEG(from, from+size)
	}
	if err := t.keep(from, from+size); err != nil {
		return nil, err
	}
	limit := int64(64) // of what is read of anything but the places of strips and tiles
	if tiffPlaces[tag] {
		if limit = 4 * maxTIFFPieces; size > limit {
			return nil, errDamaged
		}
	}
	return t.in.bytes(from, int(min(size, limit)))
}

// numbers are the whole numbers in the values of a tag.
func (t *tiffFile) numbers(entry, value []byte) []int64 {
	kind := t.order.Uint16(entry[2:])
	numbers := []int64{}
	for range t.order.Uint32(entry[4:]) {
		if kind >= uint16(len(tiffSizes)) || int64(len(value)) < tiffSizes[kind] {
			break
		}
		switch kind {
		case tiffByte:
			numbers = append(numbers, int64(value[0]))
		case tiffShort:
			numbers = append(numbers, int64(t.order.Uint16(value)))
		case tiffLong:
			numbers = append(numbers, int64(t.order.Uint32(value)))
		default:
			return numbers
		}
		value = value[tiffSizes[kind]:]
	}
	return numbers
}

// keepPieces keeps the strips and tiles of a page.
func (t *tiffFile) keepPieces(page *tiffPage) error {
	compression := page.number(tagCompression, compressedNot)
	if compression == compressedOldJPEG {
		return errOldJPEG
	}
	offsets := slices.Concat(page.values[tagStripOffsets], page.values[tagTileOffsets])
	counts := slices.Concat(page.values[tagStripCounts], page.values[tagTileCounts])
	if len(offsets) == 0 || len(offsets) != len(counts) {
		return errDamaged
	}
	for i, from := range offsets {
		keep := t.keep
		if compression == compressedJPEG {
			keep = t.keepJPEG
		}
		if counts[i] == 0 {
			continue
		}
		if err := keep(from, from+counts[i]); err != nil {
			return err
		}
	}
	// Where they stand is of no use from here on.
	for tag := range tiffPlaces {
		page.values[tag] = nil
	}
	return nil
}

// keepJPEG keeps a JPEG within a TIFF but for what applications and people wrote into it.
func (t *tiffFile) keepJPEG(from, to int64) error {
	to = min(to, t.in.size)
	at := from + 2
	for at < to {
		head, err := t.in.bytes(at, 4)
		if err != nil || len(head) < 4 || head[0] != 0xFF {
			return errors.Join(err, errDamaged)
		}
		if head[1] == jpegSOS || head[1] == jpegEOI {
			break
		}
		end := at + 2 + int64(binary.BigEndian.Uint16(head[2:]))
		if isApplication := head[1] >= jpegAPP0 && head[1] != jpegAPPE; isApplication {
			if err := t.keep(from, at+4); err != nil {
				return err
			}
			from = end
		}
		at = end
	}
	if from >= to {
		return errDamaged
	}
	return t.keep(from, to)
}

// picture is what a page says of itself, and how much memory decoding it takes: a strip or a tile at a time
// beside the pixels, for which its decoder takes up to eight bytes for each pixel, and three times that while
// its buffer grows.
func (p *tiffPage) picture() (*picture, error) {
	width, height := p.number(tagWidth, 0), p.number(tagHeight, 0)
	drawn := &picture{orientation: 1, frames: 1, width: int(width), height: int(height)}
	if o := p.number(orientationTag, 1); o >= 1 && o <= 8 {
		drawn.orientation = int(o)
	}
	if err := drawn.bounded(); err != nil {
		return nil, err
	}
	bits, samples := p.number(tagBits, 1), int64(max(1, len(p.values[tagBits])))
	isRGB := p.number(tagPhotometric, 0) == 2
	bytes := int64(1)
	if isRGB {
		bytes = 4
	}
	if bits == 16 {
		bytes *= 2
	}
	drawn.decoded = width * height * bytes

	rows := p.number(tagRows, height)
	if rows == 0 {
		rows = height
	}
	area := width * min(rows, height)
	if p.number(tagTileWidth, 0) > 0 {
		area = min(p.number(tagTileWidth, 0), 2*MaxSide) * min(p.number(tagTileHeight, 0), 2*MaxSide)
	}
	piece := area * 8 * 3
	switch p.number(tagCompression, compressedNot) {
	case compressedNot:
		piece = area * samples * max(bits, 8) / 8 * 2
	case compressedG3, compressedG4:
		piece = area / 8 * 3
	}
	extra := p.number(tagExtraSamples, 0)
	drawn.working = drawn.decoded + piece
	drawn.undecodable = drawn.working > maxWorking ||
		isRGB && samples != 3 && (samples != 4 || extra != 1 && extra != 2) ||
		samples > 1 && p.number(tagPlanar, 1) != 1
	if drawn.undecodable {
		drawn.decoded, drawn.working = 0, 0
	}
	return drawn, nil
}
