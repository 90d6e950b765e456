package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

const (
	jpegTEM  = 0x01
	jpegSOF0 = 0xC0
	jpegSOF1 = 0xC1
	jpegSOF2 = 0xC2 // progressive
	jpegDHT  = 0xC4
	jpegRST0 = 0xD0
	jpegRST7 = 0xD7
	jpegSOI  = 0xD8
	jpegEOI  = 0xD9
	jpegSOS  = 0xDA
	jpegDQT  = 0xDB
	jpegDNL  = 0xDC
	jpegDRI  = 0xDD
	jpegAPP0 = 0xE0
	jpegAPP1 = 0xE1
	jpegAPP2 = 0xE2
	jpegAPPE = 0xEE
)

// cleanJPEG keeps the segments that say how to draw the picture: tables, frames, scans, density, colour profile
// and Adobe's colour transform. Exif, XMP, comments, previews and further pictures go; so does what comes
// behind the end.
func cleanJPEG(in *reader, out io.Writer) (*picture, error) {
	r := bufio.NewReaderSize(in.all(), 64<<10)
	p := &picture{orientation: 1, frames: 1}
	var start [2]byte
	if _, err := io.ReadFull(r, start[:]); err != nil || start != [2]byte{0xFF, jpegSOI} {
		return nil, errors.Join(err, errDamaged)
	}
	if _, err := out.Write(start[:]); err != nil {
		return nil, err
	}
	hasExif, adobeRGB := false, false
	marker, err := nextMarker(r)
	for ; err == nil; marker, err = nextMarker(r) {
	segment:
		if marker == jpegEOI {
			if p.width == 0 {
				return nil, errDamaged
			}
			_, err := out.Write([]byte{0xFF, jpegEOI})
			return p, err
		}
		if marker == jpegTEM || marker >= jpegRST0 && marker <= jpegRST7 {
			continue
		}
		body, err := segmentBody(r)
		if err != nil {
			return nil, err
		}
		keep := false
		switch marker {
		case jpegSOF0, jpegSOF1, jpegSOF2:
			keep = true
			if p.width != 0 {
				return nil, errDamaged
			}
			if err := p.readFrame(body, marker == jpegSOF2, adobeRGB); err != nil {
				return nil, err
			}
		case jpegDHT, jpegDQT, jpegDNL, jpegDRI, jpegSOS:
			keep = true
		case jpegAPP0:
			if bytes.HasPrefix(body, []byte("JFIF\x00")) && len(body) >= 14 {
				keep = true
				body = append(body[:12:12], 0, 0) // without the thumbnail
			}
		case jpegAPP1:
			if bytes.HasPrefix(body, []byte("Exif\x00\x00")) && !hasExif {
				hasExif = true
				p.orientation = orientation(body)
			}
		case jpegAPP2:
			if bytes.HasPrefix(body, []byte("ICC_PROFILE\x00")) {
				keep = true
				if p.profile = append(p.profile, segment(marker, body)...); len(p.profile) > maxProfile {
					return nil, errDamaged
				}
			}
		case jpegAPPE:
			if bytes.HasPrefix(body, []byte("Adobe")) && len(body) >= 12 {
				keep = true
				body = body[:12]
				adobeRGB = body[11] == 0
			}
		default:
			if marker < jpegAPP0 { // a frame of a kind that is not known here
				return nil, errDamaged
			}
		}
		if !keep {
			continue
		}
		if _, err := out.Write(segment(marker, body)); err != nil {
			return nil, err
		}
		if marker == jpegSOS {
			if p.width == 0 {
				return nil, errDamaged
			}
			if err := p.bounded(); err != nil {
				return nil, err // before all of it is copied
			}
			if marker, err = copyScan(r, out); err != nil {
				return nil, err
			}
			goto segment
		}
	}
	return nil, err
}

// nextMarker finds the next marker. Bytes between segments are overlooked, as all decoders do.
func nextMarker(r *bufio.Reader) (byte, error) {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		for b == 0xFF {
			if b, err = r.ReadByte(); err != nil {
				return 0, err
			}
			if b != 0xFF && b != 0 {
				return b, nil
			}
		}
	}
}

func segmentBody(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n < 2 {
		return nil, errDamaged
	}
	body := make([]byte, n-2)
	_, err := io.ReadFull(r, body)
	return body, err
}

func segment(marker byte, body []byte) []byte {
	b := []byte{0xFF, marker}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body)+2)), body...)
}

// copyScan copies the pixels of a scan up to the next marker, which it returns. A file that ends within them may
// lack nothing but its end: it is given one, and decoding it will tell.
func copyScan(r *bufio.Reader, out io.Writer) (byte, error) {
	for {
		chunk, err := r.ReadSlice(0xFF)
		if errors.Is(err, io.EOF) {
			_, err := out.Write(chunk)
			return jpegEOI, err
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, err
		}
		chunk = bytes.TrimSuffix(chunk, []byte{0xFF})
		if _, writing := out.Write(chunk); writing != nil {
			return 0, writing
		}
		if err != nil {
			continue
		}
		b := byte(0xFF)
		for b == 0xFF {
			if b, err = r.ReadByte(); errors.Is(err, io.EOF) {
				return jpegEOI, nil
			} else if err != nil {
				return 0, err
			}
		}
		if b != 0 && (b < jpegRST0 || b > jpegRST7) {
			return b, nil
		}
		if _, err := out.Write([]byte{0xFF, b}); err != nil {
			return 0, err
		}
	}
}

// readFrame reads the size of the picture, and how much memory its decoder takes for it: every
// component is held as whole blocks, a progressive one with four bytes more for each of its samples.
func (p *picture) readFrame(body []byte, progressive, rgb bool) error {
	if len(body) < 6 {
		return errDamaged
	}
	p.height, p.width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	components := body[6:]
	count := int(body[5])
	if p.width == 0 || p.height == 0 || count == 0 || count > 4 || len(components) != 3*count {
		return errDamaged
	}
	across, down := 1, 1
	for i := range count {
		h, v := int(components[3*i+1]>>4), int(components[3*i+1]&15)
		if h < 1 || h > 4 || v < 1 || v > 4 {
			return errDamaged
		}
		across, down = max(across, h), max(down, v)
	}
	if count == 1 {
		across, down = 1, 1
	}
	units := int64((p.width+8*across-1)/(8*across)) * int64((p.height+8*down-1)/(8*down))
	samples := int64(0)
	for i := range count {
		h, v := int64(components[3*i+1]>>4), int64(components[3*i+1]&15)
		if count == 1 {
			h, v = 1, 1
		}
		samples += 64 * units * h * v
	}
	p.decoded, p.working = samples, samples
	if progressive {
		p.working += 4 * samples
	}
	if rgb || count == 4 || components[0] == 'R' {
		p.working += 4 * int64(p.width) * int64(p.height) // is copied into colours without subsampling
	}
	return nil
}
