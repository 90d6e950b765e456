package media

import (
	"encoding/binary"
	"io"
)

const (
	webpAnimated = 1 << 1
	webpXMP      = 1 << 2
	webpExif     = 1 << 3
	webpAlpha    = 1 << 4
	webpProfile  = 1 << 5
)

// riffChunk is where the bytes of a chunk stand.
type riffChunk struct {
	name         string
	offset, size int64
}

// padded is the size with the byte that makes it even.
func (c riffChunk) padded() int64 { return c.size + c.size&1 }

// cleanWebP keeps the picture with its transparency and its colour profile. Exif, XMP and all other chunks go;
// so does what comes behind the end. Pictures that move are refused: there is nothing here to decode them with.
func cleanWebP(in *reader, out io.Writer) (*picture, error) {
	header, err := in.bytes(0, 12)
	if err != nil {
		return nil, err
	}
	if len(header) < 12 || string(header[:4]) != "RIFF" || string(header[8:]) != "WEBP" {
		return nil, errDamaged
	}
	end := 8 + int64(binary.LittleEndian.Uint32(header[4:]))
	if end > in.size {
		return nil, errDamaged
	}
	p := &picture{orientation: 1, frames: 1}
	var features, profile, alpha, pixels *riffChunk
	for offset := int64(12); offset < end; {
		head, err := in.bytes(offset, 8)
		if err != nil {
			return nil, err
		}
		if len(head) < 8 {
			return nil, errDamaged
		}
		c := riffChunk{string(head[:4]), offset + 8, int64(binary.LittleEndian.Uint32(head[4:]))}
		if c.offset+c.size > end {
			return nil, errDamaged
		}
		offset = c.offset + c.padded()
		switch c.name {
		case "VP8X":
			if features != nil || pixels != nil || c.size != 10 {
				return nil, errDamaged
			}
			features = &c
		case "ICCP":
			if profile == nil && c.size <= maxProfile {
				profile = &c
			}
		case "ALPH":
			if alpha == nil && pixels == nil {
				alpha = &c
			}
		case "VP8 ", "VP8L":
			if pixels == nil {
				pixels = &c
			}
		case "EXIF":
			exif, err := in.bytes(c.offset, int(min(c.size, 64<<10)))
			if err != nil {
				return nil, err
			}
			p.orientation = orientation(exif)
		case "ANIM", "ANMF":
			return nil, errAnimatedWebP
		}
	}
	if pixels == nil {
		return nil, errDamaged
	}
	if err := p.readWebP(in, *pixels); err != nil {
		return nil, err
	}
	if pixels.name == "VP8L" || features == nil {
		alpha = nil
	}
	p.convertsTo = jpegType
	p.decoded = int64(p.width) * int64(p.height) * 2
	p.working = p.decoded
	if pixels.name == "VP8L" || alpha != nil {
		p.convertsTo = pngType
		p.decoded *= 2
		p.working = 2 * p.decoded
	}
	if err := p.bounded(); err != nil {
		return nil, err
	}
	var canvas []byte
	if features != nil {
		if canvas, err = in.bytes(features.offset, 10); err != nil {
			return nil, err
		}
		if canvas[0]&webpAnimated != 0 {
			return nil, errAnimatedWebP
		}
		side := func(at int) int { return 1 + int(canvas[at]) + int(canvas[at+1])<<8 + int(canvas[at+2])<<16 }
		if side(4) != p.width || side(7) != p.height {
			return nil, errDamaged
		}
		canvas[0] &^= webpXMP | webpExif
		if profile == nil {
			canvas[0] &^= webpProfile
		}
		if pixels.name == "VP8 " && alpha == nil {
			canvas[0] &^= webpAlpha
		}
		if alpha != nil {
			canvas[0] |= webpAlpha
		}
	} else {
		profile = nil
	}
	return p, writeWebP(in, out, canvas, profile, alpha, pixels)
}

var errAnimatedWebP = refuse(NotAllowed, "Moving pictures of the type %s are not accepted.", webpType)

// writeWebP writes a file of these chunks, in the order in which they have to be. Those that are nil are left out.
func writeWebP(in *reader, out io.Writer, canvas []byte, chunks ...*riffChunk) error {
	size := int64(len("WEBP"))
	if canvas != nil {
		size += 8 + int64(len(canvas))
	}
	for _, c := range chunks {
		if c != nil {
			size += 8 + c.padded()
		}
	}
	head := append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(size)), "WEBP"...)
	if canvas != nil {
		head = append(binary.LittleEndian.AppendUint32(append(head, "VP8X"...), uint32(len(canvas))), canvas...)
	}
	if _, err := out.Write(head); err != nil {
		return err
	}
	for _, c := range chunks {
		if c == nil {
			continue
		}
		if _, err := out.Write(binary.LittleEndian.AppendUint32([]byte(c.name), uint32(c.size))); err != nil {
			return err
		}
		if _, err := io.Copy(out, io.NewSectionReader(in, c.offset, c.size)); err != nil {
			return err
		}
		if _, err := out.Write(make([]byte, c.size&1)); err != nil {
			return err
		}
	}
	return nil
}

// readWebP reads the size of the picture where the decoder does.
func (p *picture) readWebP(in *reader, pixels riffChunk) error {
	b, err := in.bytes(pixels.offset, int(min(pixels.size, 10)))
	if err != nil {
		return err
	}
	switch {
	case pixels.name == "VP8L" && len(b) >= 5 && b[0] == 0x2F:
		bits := binary.LittleEndian.Uint32(b[1:])
		p.width, p.height = 1+int(bits&0x3FFF), 1+int(bits>>14&0x3FFF)
	case pixels.name == "VP8 " && len(b) >= 10 && b[0]&1 == 0 && string(b[3:6]) == "\x9d\x01\x2a":
		p.width = int(binary.LittleEndian.Uint16(b[6:]) & 0x3FFF)
		p.height = int(binary.LittleEndian.Uint16(b[8:]) & 0x3FFF)
	default:
		return errDamaged
	}
	return nil
}
