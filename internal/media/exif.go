package media

import (
	"bytes"
	"encoding/binary"
)

const orientationTag = 274

// orientation is how a picture has to be turned, as its Exif says: 1 to 8, and 1 if it doesn't say.
// Of all of Exif it is the only thing that is read.
func orientation(exif []byte) int {
	exif = bytes.TrimPrefix(exif, []byte("Exif\x00\x00"))
	order := byteOrder(exif)
	if order == nil || len(exif) < 8 {
		return 1
	}
	offset := int64(order.Uint32(exif[4:]))
	if offset+2 > int64(len(exif)) {
		return 1
	}
	entries := exif[offset+2:]
	for range order.Uint16(exif[offset:]) {
		if len(entries) < tiffEntrySize {
			break
		}
		if order.Uint16(entries) == orientationTag && order.Uint16(entries[2:]) == tiffShort {
			if value := int(order.Uint16(entries[8:])); value >= 1 && value <= 8 {
				return value
			}
			break
		}
		entries = entries[tiffEntrySize:]
	}
	return 1
}

// byteOrder is that of a TIFF, of which Exif is one, or nil if it is none.
func byteOrder(b []byte) binary.ByteOrder {
	switch {
	case bytes.HasPrefix(b, []byte("II*\x00")):
		return binary.LittleEndian
	case bytes.HasPrefix(b, []byte("MM\x00*")):
		return binary.BigEndian
	}
	return nil
}
