// Package media says what an uploaded file is by its bytes, refuses what is dangerous or lies, and
// gives the bytes that others get.
//
// What it promises, whatever was uploaded:
//
//   - The type of a file is that of its bytes. What was announced is believed only where bytes can't tell,
//     as between a text and a CSV.
//   - A picture that passed can be decoded, and others get it upright and without what its camera or
//     program wrote beside the pixels: place, device, comments, previews, whatever stands behind its end.
//     Its pixels are untouched, unless it had to be turned.
//   - Other files go as they are; those that can be read as two kinds of file don't go at all.
//   - Memory does not grow with the size of a file. Only decoding a picture takes more: one picture at a
//     time, at most about 256 MB, judged by its header before anything is decoded, and 20 seconds.
package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Code says why a file was refused.
type Code string

// Why a file is refused.
const (
	Empty           Code = "EMPTY"             // it has no bytes
	NotAllowed      Code = "NOT_ALLOWED"       // its type is not on the list, or it holds macros
	TypeMismatch    Code = "TYPE_MISMATCH"     // its bytes are not what was announced
	Damaged         Code = "DAMAGED"           // it can't be read as what it begins as
	PictureTooLarge Code = "PICTURE_TOO_LARGE" // decoding it would take too much memory or time
	Ambiguous       Code = "AMBIGUOUS"         // it can be read as two kinds of file
	InvalidName     Code = "INVALID_NAME"      // its name is not UTF-8
)

// Refused is what a sender can run into: a code for programs and a sentence for people. The sentence repeats
// nothing of the file, only types and limits.
type Refused struct {
	Code     Code
	Sentence string
}

func (r *Refused) Error() string { return string(r.Code) + ": " + r.Sentence }

func refuse(code Code, sentence string, args ...any) *Refused {
	return &Refused{Code: code, Sentence: fmt.Sprintf(sentence, args...)}
}

// errDamaged is what the readers of a format say of bytes that are not what the format asks for.
var errDamaged = errors.New("damaged")

func damaged(mediaType string) *Refused {
	return refuse(Damaged, "The file is damaged: it can't be read as %s.", mediaType)
}

// Given is what a sender said of a file. An empty media type, or application/octet-stream, claims nothing.
type Given struct {
	Name      string
	MediaType string
}

// File is what was found.
type File struct {
	MediaType string // of Content
	Name      string // the given name, clean, with an extension that fits the type

	// Width and Height are those of a picture as it is shown, or 0.
	Width, Height int
	// Charset is that of a text as far as it can be told: utf-8, utf-16, or empty.
	Charset string
	// Pages are those of a PDF, or 0 if they can't be told.
	Pages int

	// Content are the bytes that others get. It reads from the source or from the scratch file, which
	// both have to stay open as long.
	Content *io.SectionReader

	// Thumbnail is a small picture of the picture, or nil.
	Thumbnail *Thumbnail
}

// MaxThumbnail is the longest side of a thumbnail.
const MaxThumbnail = 512

// Thumbnail is a small picture: a JPEG, or a PNG if something of it is transparent.
type Thumbnail struct {
	MediaType     string
	Width, Height int
	Bytes         []byte
}

// Inspect says what a file of a given size is and what of it others get. Of a picture these are other bytes
// than came: scratch, which is called once at most, makes the file that they are written to. The caller
// closes and removes it, also after an error.
//
// A *Refused is for the sender. If the context ends, its error is returned as it is. Any other error is one
// of reading the source or of writing the scratch file.
func Inspect(ctx context.Context, source io.ReaderAt, size int64, given Given, types Types, scratch func() (*os.File, error)) (*File, error) {
	if size == 0 {
		return nil, refuse(Empty, "The file is empty.")
	}
	name, err := CleanName(given.Name)
	if err != nil {
		return nil, err
	}
	in := newReader(ctx, source, size)
	found, err := detect(in)
	if err != nil {
		return nil, in.verdict(err, found)
	}
	mediaType, refused := types.settle(found, canonical(given.MediaType))
	if refused != nil {
		return nil, refused
	}
	file := &File{MediaType: mediaType, Name: fitName(name, mediaType), Content: io.NewSectionReader(source, 0, size)}
	if format, ok := formats[mediaType]; ok {
		if err := file.draw(in, format, scratch); err != nil {
			return nil, err
		}
		return file, nil
	}
	if err := unambiguous(in, mediaType); err != nil {
		return nil, in.verdict(err, mediaType)
	}
	file.Charset = in.charset
	if mediaType == pdfType {
		file.Pages = countPages(in)
		if err := in.fault(); err != nil {
			return nil, err
		}
	}
	return file, nil
}

// reader reads a file until its context ends. It remembers when it was reading that failed, which parsers
// report in words of their own.
type reader struct {
	ctx    context.Context
	source io.ReaderAt
	size   int64
	failed error
	// charset is that of a text, once it was read as one.
	charset string
}

func newReader(ctx context.Context, source io.ReaderAt, size int64) *reader {
	return &reader{ctx: ctx, source: io.NewSectionReader(source, 0, size), size: size}
}

func (r *reader) ReadAt(p []byte, offset int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.source.ReadAt(p, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = fmt.Errorf("read the file: %w", err)
	}
	return n, err
}

// all reads from the start.
func (r *reader) all() *io.SectionReader { return io.NewSectionReader(r, 0, r.size) }

// bytes are up to n bytes at an offset, fewer at the end of the file.
func (r *reader) bytes(offset int64, n int) ([]byte, error) {
	if offset < 0 || offset >= r.size {
		return nil, errDamaged
	}
	b := make([]byte, min(int64(n), r.size-offset))
	if _, err := r.ReadAt(b, offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// fault is the error that is not the file's: of its context, or of reading.
func (r *reader) fault() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	return r.failed
}

// verdict makes of the error of a parser what the caller of Inspect gets.
func (r *reader) verdict(err error, mediaType string) error {
	if fault := r.fault(); fault != nil {
		return fault
	}
	if refused := (*Refused)(nil); errors.As(err, &refused) {
		return refused
	}
	return damaged(mediaType)
}
