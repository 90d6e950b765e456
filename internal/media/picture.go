package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// The limits of a picture, checked by its header before anything is decoded.
const (
	MaxPixels = 50_000_000
	MaxSide   = 20_000

	maxDecoded     = 100 << 20     // bytes of its pixels in memory
	maxWorking     = 256 << 20     // the same with what its decoder needs beside them
	maxFrames      = 10_000        // of an animation
	maxFramePixels = 1_000_000_000 // of all frames together
	maxProfile     = 4 << 20       // bytes of its colour profile
	patience       = 20 * time.Second

	// heavy is a picture whose memory is given back at once, so that the next one finds no garbage beside it.
	heavy = 16 << 20
	// copied is the most that is turned in a copy, which is faster than pixel by pixel.
	copied = 40 << 20
)

const (
	pictureQuality   = 95
	thumbnailQuality = 80
)

// picture is what the structure of a picture says of it.
type picture struct {
	width, height int // as stored
	orientation   int // of Exif: 1 is upright
	frames        int
	framePixels   int64

	gray             bool  // has no colours
	decoded, working int64 // bytes that decoding takes, see maxDecoded and maxWorking
	undecodable      bool  // by the decoder that is known here, though it may be sound

	// profile says how the colours are meant, ready to be inserted into a file of the same format.
	profile []byte
	// convertsTo is the format that it is written in when it has to be turned.
	convertsTo string
}

// format is how pictures of a type are read.
type format struct {
	mediaType string
	// clean walks the whole structure of a picture and writes it without all that isn't needed to draw it.
	clean  func(in *reader, out io.Writer) (*picture, error)
	decode func(io.Reader) (image.Image, error)
}

var formats = map[string]format{
	jpegType: {jpegType, cleanJPEG, jpeg.Decode},
	pngType:  {pngType, cleanPNG, png.Decode},
	gifType:  {gifType, cleanGIF, gif.Decode},
	webpType: {webpType, cleanWebP, webp.Decode},
	tiffType: {tiffType, cleanTIFF, tiff.Decode},
	bmpType:  {bmpType, cleanBMP, bmp.Decode},
}

// turns tells whether the picture has to be turned to be upright, mirrored ones included.
func (p *picture) turns() bool { return p.orientation >= 2 && p.orientation <= 8 }

// shown is the size of a picture as it is seen.
func (p *picture) shown() (width, height int) {
	if p.orientation >= 5 && p.orientation <= 8 {
		return p.height, p.width
	}
	return p.width, p.height
}

// bounded refuses what would take too much to decode.
func (p *picture) bounded() error {
	switch {
	case p.width <= 0 || p.height <= 0:
		return errDamaged
	case p.width > MaxSide || p.height > MaxSide:
		return refuse(PictureTooLarge, "The picture is too large: its sides may have %d pixels. Send a smaller one.", MaxSide)
	case int64(p.width)*int64(p.height) > MaxPixels:
		return refuse(PictureTooLarge, "The picture is too large: it may have %d megapixels. Send a smaller one.", MaxPixels/1_000_000)
	case p.decoded > maxDecoded || p.working > maxWorking:
		return refuse(PictureTooLarge, "The picture is too large: showing it may take %d MB of memory. Send a smaller one.", maxDecoded>>20)
	case p.frames > maxFrames || p.framePixels > maxFramePixels:
		return refuse(PictureTooLarge, "The animation is too large: it may have %d frames and %d megapixels in all.", maxFrames, maxFramePixels/1_000_000)
	}
	return nil
}

// decoding is held by the one picture of this process that is being looked at.
var decoding = make(chan struct{}, 1)

// draw fills in what there is to say of a picture, and gives it its clean bytes.
func (f *File) draw(in *reader, format format, scratch func() (*os.File, error)) error {
	file, err := scratch()
	if err != nil {
		return fmt.Errorf("make a scratch file: %w", err)
	}
	select {
	case decoding <- struct{}{}:
	case <-in.ctx.Done():
		return in.ctx.Err()
	}
	defer func() { <-decoding }()
	out := &output{ctx: in.ctx, file: file}
	p, err := cleanWithin(in, patience, format, out)
	if err != nil {
		return err
	}
	f.Width, f.Height = p.shown()
	if !p.undecodable {
		err := f.decode(in, p, format, out)
		if p.working > heavy {
			debug.FreeOSMemory()
		}
		if err != nil {
			return err
		}
	}
	f.Content = io.NewSectionReader(file, 0, out.size)
	return nil
}

// cleanWithin writes the clean picture to out. What takes too long is refused, or its sender would try again for ever.
func cleanWithin(in *reader, patience time.Duration, format format, out *output) (*picture, error) {
	hurried, cancel := context.WithTimeout(in.ctx, patience)
	defer cancel()
	buffered := bufio.NewWriterSize(out, 64<<10)
	p, err := format.clean(newReader(hurried, in.source, in.size), buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = p.bounded()
	}
	switch {
	case err == nil:
		return p, nil
	case in.ctx.Err() == nil && hurried.Err() != nil:
		return nil, refuse(PictureTooLarge, "The picture takes more than %d seconds to look through. Send a simpler one.", int(patience.Seconds()))
	}
	return nil, out.verdict(in, err, format.mediaType)
}

// decode makes a thumbnail of the clean picture in out, and writes it anew if it has to be turned.
func (f *File) decode(in *reader, p *picture, format format, out *output) error {
	pixels, err := decodeWithin(in.ctx, patience, format, out)
	if unsupported := tiff.UnsupportedError(""); errors.As(err, &unsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	canvas := image.Rect(0, 0, p.width, p.height)
	if size := pixels.Bounds(); !size.In(canvas) || format.mediaType != gifType && size != canvas {
		return damaged(format.mediaType)
	}
	small, err := shrink(in.ctx, pixels, canvas)
	if err != nil {
		return err
	}
	if f.Thumbnail, err = thumbnail(turned{small, p.orientation}); err != nil {
		return fmt.Errorf("make a thumbnail: %w", err)
	}
	if !p.turns() || format.mediaType == tiffType {
		return nil
	}
	if err := out.again(); err != nil {
		return err
	}
	f.MediaType = format.mediaType
	if p.convertsTo != "" {
		f.MediaType = p.convertsTo
		f.Name = fitName(strings.TrimSuffix(f.Name, path.Ext(f.Name)), f.MediaType)
	}
	if err := writeTurned(out, pixels, p, f.MediaType); err != nil {
		return out.verdict(in, err, format.mediaType)
	}
	return nil
}

// decodeWithin decodes the clean picture in out, so that it is what others get that is known to be sound. It is
// the one step whose time depends on more than the size of a picture: thousands of scans may draw the same pixels.
func decodeWithin(ctx context.Context, patience time.Duration, format format, out *output) (image.Image, error) {
	hurried, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	in := newReader(hurried, out.file, out.size)
	pixels, err := safely(format.decode, in.all())
	if unsupported := tiff.UnsupportedError(""); err == nil || errors.As(err, &unsupported) {
		return pixels, err
	}
	if ctx.Err() == nil && hurried.Err() != nil {
		return nil, refuse(PictureTooLarge, "The picture takes more than %d seconds to decode. Send a smaller or simpler one.", int(patience.Seconds()))
	}
	return nil, in.verdict(err, format.mediaType)
}

// safely turns a panic of a decoder, all of which are fed with what strangers made, into an error.
func safely(decode func(io.Reader) (image.Image, error), r io.Reader) (m image.Image, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			m, err = nil, fmt.Errorf("%w: %v", errDamaged, caught)
		}
	}()
	return decode(r)
}

// writeTurned writes the pixels as they are shown.
func writeTurned(out io.Writer, pixels image.Image, p *picture, mediaType string) error {
	var upright image.Image = turned{pixels, p.orientation}
	if _, isGray := pixels.(*image.Gray); isGray || p.decoded <= copied {
		upright = turn(pixels, p.orientation)
	}
	profile := p.profile
	if _, isCMYK := pixels.(*image.CMYK); isCMYK {
		profile = nil // goes as YCbCr, for which its profile isn't made
	}
	buffered := bufio.NewWriterSize(out, 64<<10)
	var err error
	if mediaType == jpegType {
		err = jpeg.Encode(&inserter{out: buffered, after: len("\xff\xd8"), insert: profile}, upright, &jpeg.Options{Quality: pictureQuality})
	} else {
		encoder := png.Encoder{CompressionLevel: png.BestSpeed}
		err = encoder.Encode(&inserter{out: buffered, after: len(pngSignature) + 25, insert: profile}, upright)
	}
	return errors.Join(err, buffered.Flush())
}

// inserter puts bytes behind the first ones of what is written.
type inserter struct {
	out    io.Writer
	after  int
	insert []byte
}

func (w *inserter) Write(b []byte) (int, error) {
	n, err := w.out.Write(b[:min(w.after, len(b))])
	if w.after -= n; err != nil || n == len(b) {
		return n, err
	}
	if _, err := w.out.Write(w.insert); err != nil {
		return n, err
	}
	w.insert = nil
	rest, err := w.out.Write(b[n:])
	return n + rest, err
}

// turn turns a picture. Those of cameras and scanners are turned plane by plane, for which encoders are many times
// faster, and which keeps grays gray. All others are turned while they are encoded.
func turn(pixels image.Image, orientation int) image.Image {
	t := turned{pixels, orientation}
	size := t.Bounds()
	switch m := pixels.(type) {
	case *image.Gray:
		return &image.Gray{Pix: turnPlane(m.Pix, m.Stride, m.Rect, orientation), Stride: size.Dx(), Rect: size}
	case *image.YCbCr:
		isHalved := m.SubsampleRatio == image.YCbCrSubsampleRatio420
		// A pixel more on one side than in pairs would move the colours by half a pair.
		if m.SubsampleRatio != image.YCbCrSubsampleRatio444 && !isHalved || m.Rect.Dx()%2+m.Rect.Dy()%2 > 0 {
			return t
		}
		colours, across := m.Rect, size.Dx()
		if isHalved {
			colours.Max, across = colours.Max.Div(2), across/2
		}
		return &image.YCbCr{
			Y:              turnPlane(m.Y, m.YStride, m.Rect, orientation),
			Cb:             turnPlane(m.Cb, m.CStride, colours, orientation),
			Cr:             turnPlane(m.Cr, m.CStride, colours, orientation),
			YStride:        size.Dx(),
			CStride:        across,
			SubsampleRatio: m.SubsampleRatio,
			Rect:           size,
		}
	}
	return t
}

// turnPlane turns one value of each pixel.
func turnPlane(plane []uint8, stride int, size image.Rectangle, orientation int) []uint8 {
	t := turned{&image.Gray{Pix: plane, Stride: stride, Rect: size}, orientation}
	upright := t.Bounds()
	values := make([]uint8, 0, upright.Dx()*upright.Dy())
	for y := range upright.Dy() {
		// Along a row of what is shown, one walks through what is stored in steps of the same length.
		x0, y0 := t.from(0, y)
		x1, y1 := t.from(1, y)
		at, step := y0*stride+x0, (y1-y0)*stride+x1-x0
		for range upright.Dx() {
			values = append(values, plane[at])
			at += step
		}
	}
	return values
}

// turned shows a picture upright, as its orientation says, without a copy of its pixels.
type turned struct {
	image.Image
	orientation int
}

func (t turned) Bounds() image.Rectangle {
	size := t.Image.Bounds().Size()
	if t.orientation >= 5 && t.orientation <= 8 {
		size.X, size.Y = size.Y, size.X
	}
	return image.Rectangle{Max: size}
}

func (t turned) At(x, y int) color.Color { return t.Image.At(t.from(x, y)) }

// ColorModel is one that encoders write with no more bits than there are.
func (t turned) ColorModel() color.Model {
	switch model := t.Image.ColorModel(); model {
	case color.RGBA64Model, color.NRGBA64Model, color.Gray16Model, color.GrayModel, color.RGBAModel:
		return model
	}
	return color.NRGBAModel
}

func (t turned) Opaque() bool {
	o, ok := t.Image.(interface{ Opaque() bool })
	return ok && o.Opaque()
}

// from is where the pixel that is shown at a place is stored.
func (t turned) from(x, y int) (int, int) {
	b := t.Image.Bounds()
	right, bottom := b.Max.X-1, b.Max.Y-1
	switch t.orientation {
	case 2:
		return right - x, b.Min.Y + y
	case 3:
		return right - x, bottom - y
	case 4:
		return b.Min.X + x, bottom - y
	case 5:
		return b.Min.X + y, b.Min.Y + x
	case 6:
		return b.Min.X + y, bottom - x
	case 7:
		return right - y, bottom - x
	case 8:
		return right - y, b.Min.Y + x
	}
	return b.Min.X + x, b.Min.Y + y
}

// shrink makes a picture of at most MaxThumbnail pixels on its longest side of one on a canvas. It takes
// the mean of whole blocks first, because a scaler needs memory for every row of what it scales.
func shrink(ctx context.Context, pixels image.Image, canvas image.Rectangle) (*image.RGBA, error) {
	width, height := canvas.Dx(), canvas.Dy()
	longest := max(width, height)
	block := max(1, longest/MaxThumbnail)
	means, err := mean(ctx, pixels, canvas, block)
	if err != nil || longest <= MaxThumbnail {
		return means, err
	}
	scaled := func(side int) int { return max(1, (side*MaxThumbnail+longest/2)/longest) }
	small := image.NewRGBA(image.Rect(0, 0, scaled(width), scaled(height)))
	draw.CatmullRom.Scale(small, small.Rect, means, means.Rect, draw.Src, nil)
	return small, nil
}

// mean makes one pixel of every square block of a canvas.
func mean(ctx context.Context, pixels image.Image, canvas image.Rectangle, block int) (*image.RGBA, error) {
	at := func(x, y int) color.RGBA64 { return color.RGBA64Model.Convert(pixels.At(x, y)).(color.RGBA64) }
	if direct, ok := pixels.(image.RGBA64Image); ok {
		at = direct.RGBA64At
	}
	bounds := pixels.Bounds()
	means := image.NewRGBA(image.Rect(0, 0, (canvas.Dx()+block-1)/block, (canvas.Dy()+block-1)/block))
	for y := range means.Rect.Dy() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for x := range means.Rect.Dx() {
			from := image.Rect(x*block, y*block, (x+1)*block, (y+1)*block).Intersect(canvas)
			count := uint64(from.Dx()) * uint64(from.Dy())
			from = from.Intersect(bounds)
			var r, g, b, a uint64
			for j := from.Min.Y; j < from.Max.Y; j++ {
				for i := from.Min.X; i < from.Max.X; i++ {
					c := at(i, j)
					r, g, b, a = r+uint64(c.R), g+uint64(c.G), b+uint64(c.B), a+uint64(c.A)
				}
			}
			eight := func(sum uint64) uint8 { return uint8(sum / count >> 8) }
			means.SetRGBA(x, y, color.RGBA{eight(r), eight(g), eight(b), eight(a)})
		}
	}
	return means, nil
}

func thumbnail(small turned) (*Thumbnail, error) {
	t := &Thumbnail{MediaType: jpegType, Width: small.Bounds().Dx(), Height: small.Bounds().Dy()}
	var b bytes.Buffer
	var err error
	if small.Opaque() {
		err = jpeg.Encode(&b, small, &jpeg.Options{Quality: thumbnailQuality})
	} else {
		t.MediaType = pngType
		err = png.Encode(&b, small)
	}
	t.Bytes = b.Bytes()
	return t, err
}

// output is the scratch file. Like a reader it stops when its context ends, and remembers when it was
// writing that failed.
type output struct {
	ctx    context.Context
	file   *os.File
	size   int64
	failed error
}

func (o *output) Write(b []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := o.file.WriteAt(b, o.size)
	o.size += int64(n)
	if err != nil {
		o.failed = fmt.Errorf("write the scratch file: %w", err)
	}
	return n, err
}

// again forgets what was written.
func (o *output) again() error {
	o.size = 0
	if err := o.file.Truncate(0); err != nil {
		return fmt.Errorf("empty the scratch file: %w", err)
	}
	return nil
}

func (o *output) verdict(in *reader, err error, mediaType string) error {
	if in.ctx.Err() == nil && o.failed != nil {
		return o.failed
	}
	return in.verdict(err, mediaType)
}
