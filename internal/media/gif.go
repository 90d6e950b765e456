package media

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// cleanGIF keeps frames, palettes, their timing and how often they loop. Comments, texts, the blocks of
// applications, XMP among them, go; so does what comes behind the end.
func cleanGIF(in *reader, out io.Writer) (*picture, error) {
	r := bufio.NewReaderSize(in.all(), 64<<10)
	var screen [13]byte
	if _, err := io.ReadFull(r, screen[:]); err != nil {
		return nil, err
	}
	if version := string(screen[:6]); version != "GIF87a" && version != "GIF89a" {
		return nil, errDamaged
	}
	p := &picture{orientation: 1, width: int(binary.LittleEndian.Uint16(screen[6:])), height: int(binary.LittleEndian.Uint16(screen[8:]))}
	p.decoded = int64(p.width) * int64(p.height)
	p.working = p.decoded
	if err := p.bounded(); err != nil {
		return nil, err
	}
	if _, err := out.Write(screen[:]); err != nil {
		return nil, err
	}
	if err := copyPalette(r, out, screen[10]); err != nil {
		return nil, err
	}
	var control []byte // belongs to the frame that follows it
	for {
		block, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		switch block {
		case 0x21:
			label, err := r.ReadByte()
			if err != nil {
				return nil, err
			}
			switch label {
			case 0xF9:
				control = make([]byte, 8)
				copy(control, "\x21\xF9")
				if _, err := io.ReadFull(r, control[2:]); err != nil || control[2] != 4 || control[7] != 0 {
					return nil, errors.Join(err, errDamaged)
				}
			case 0xFF:
				if err := copyLoop(r, out); err != nil {
					return nil, err
				}
			case 0x01, 0xFE:
				if err := copyBlocks(r, io.Discard); err != nil {
					return nil, err
				}
				if label == 0x01 {
					control = nil // was meant for the text
				}
			default:
				return nil, errDamaged
			}
		case 0x2C:
			if _, err := out.Write(control); err != nil {
				return nil, err
			}
			control = nil
			if err := p.copyFrame(r, out); err != nil {
				return nil, err
			}
		case 0x3B:
			if p.frames == 0 {
				return nil, errDamaged
			}
			_, err := out.Write([]byte{0x3B})
			return p, err
		default:
			return nil, errDamaged
		}
	}
}

func (p *picture) copyFrame(r *bufio.Reader, out io.Writer) error {
	descriptor := make([]byte, 10)
	descriptor[0] = 0x2C
	if _, err := io.ReadFull(r, descriptor[1:]); err != nil {
		return err
	}
	side := func(at int) int { return int(binary.LittleEndian.Uint16(descriptor[at:])) }
	if side(1)+side(5) > p.width || side(3)+side(7) > p.height {
		return errDamaged
	}
	p.frames++
	p.framePixels += int64(side(5)) * int64(side(7))
	if err := p.bounded(); err != nil {
		return err
	}
	if _, err := out.Write(descriptor); err != nil {
		return err
	}
	if err := copyPalette(r, out, descriptor[9]); err != nil {
		return err
	}
	if _, err := io.CopyN(out, r, 1); err != nil { // bits of a code
		return err
	}
	return copyBlocks(r, out)
}

func copyPalette(r io.Reader, out io.Writer, flags byte) error {
	if flags&0x80 == 0 {
		return nil
	}
	_, err := io.CopyN(out, r, 3<<(1+flags&7))
	return err
}

// copyBlocks copies blocks of up to 255 bytes up to and with the empty one that ends them.
func copyBlocks(r *bufio.Reader, out io.Writer) error {
	block := make([]byte, 256)
	for {
		n, err := r.ReadByte()
		if err != nil {
			return err
		}
		block[0] = n
		if _, err := io.ReadFull(r, block[1:1+int(n)]); err != nil {
			return err
		}
		if _, err := out.Write(block[:1+int(n)]); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// copyLoop copies how often an animation loops, and drops what else applications left.
func copyLoop(r *bufio.Reader, out io.Writer) error {
	const loop = "\x0BNETSCAPE2.0\x03\x01"
	if start, err := r.Peek(len(loop) + 2); err == nil && string(start[:len(loop)]) == loop {
		if _, err := out.Write(slices.Concat([]byte("\x21\xFF"), start, []byte{0})); err != nil {
			return err
		}
	}
	return copyBlocks(r, io.Discard)
}
