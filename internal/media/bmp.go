package media

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	bmpFileHeader = 14
	bmpInfoHeader = 40
	bmpV5Header   = 124
)

// cleanBMP keeps the headers, the palette and the pixels, and nothing behind them. A colour profile goes,
// because it may be the path of a file of the sender's.
func cleanBMP(in *reader, out io.Writer) (*picture, error) {
	header, err := in.bytes(0, bmpFileHeader+bmpV5Header)
	if err != nil {
		return nil, err
	}
	if len(header) < bmpFileHeader+bmpInfoHeader || string(header[:2]) != "BM" {
		return nil, errDamaged
	}
	offset, info := int64(binary.LittleEndian.Uint32(header[10:])), int64(binary.LittleEndian.Uint32(header[14:]))
	width, height := int64(int32(binary.LittleEndian.Uint32(header[18:]))), int64(int32(binary.LittleEndian.Uint32(header[22:])))
	if height < 0 {
		height = -height
	}
	p := &picture{orientation: 1, frames: 1, width: int(width), height: int(height)}
	if err := p.bounded(); err != nil {
		return nil, err
	}
	bits := int64(binary.LittleEndian.Uint16(header[28:]))
	p.decoded = width * height * 4
	if bits <= 8 {
		p.decoded = width * height
	}
	p.working = p.decoded
	end := offset + (width*bits+31)/32*4*height
	if offset < bmpFileHeader+info || info < bmpInfoHeader || info > bmpV5Header || end > in.size {
		return nil, errDamaged
	}
	header = header[:bmpFileHeader+info]
	binary.LittleEndian.PutUint32(header[2:], uint32(end))
	clear(header[6:10])
	if info == bmpV5Header {
		clear(header[bmpFileHeader+112:]) // where the profile stands, and how long it is
		switch string(header[bmpFileHeader+56:][:4]) {
		case "KNIL", "DEBM": // a profile that is linked or embedded
			copy(header[bmpFileHeader+56:], "BGRs")
		}
	}
	_, err = out.Write(header)
	if err == nil {
		_, err = io.Copy(out, io.NewSectionReader(in, int64(len(header)), end-int64(len(header))))
	}
	return p, errors.Join(err)
}
