package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func decoded(t testing.TB, b []byte) image.Image {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("what others get is damaged: %v", err)
	}
	return m
}

// samePixels tells whether two pictures look the same, to the last bit.
func samePixels(a, b image.Image) bool {
	if a.Bounds() != b.Bounds() {
		return false
	}
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if color.RGBA64Model.Convert(a.At(x, y)) != color.RGBA64Model.Convert(b.At(x, y)) {
				return false
			}
		}
	}
	return true
}

// tellsNothing checks that nothing of what a camera or program wrote is in what others get.
func tellsNothing(t *testing.T, content []byte) {
	t.Helper()
	for _, mark := range []string{secret, "GPS", "Exif", "EXIF", "XMP ", "xmp", "MPF", "Photoshop", "tEXt", "eXIf"} {
		if bytes.Contains(content, []byte(mark)) {
			t.Errorf("what others get contains %q", mark)
		}
	}
}

func TestAPictureOfEveryOrientationIsShownUpright(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name, stored, got string
		make              func(orientation int) []byte
	}{
		{"photo.jpg", jpegType, jpegType, func(o int) []byte { return photo(t, o) }},
		{"screen.png", pngType, pngType, func(o int) []byte { return screenshot(t, scene(64, 48), o) }},
		{"sticker.webp", webpType, pngType, func(o int) []byte { return sticker(t, scene(64, 48), o) }},
	} {
		for o := 1; o <= 8; o++ {
			upload := kind.make(o)

			f := passes(t, upload, kind.name, kind.stored)

			m := decoded(t, f.content)
			if got := corners(m); got != upright[o] {
				t.Errorf("%s with orientation %d shows %s, want %s", kind.name, o, got, upright[o])
			}
			if got := corners(decoded(t, f.Thumbnail.Bytes)); got != upright[o] {
				t.Errorf("the thumbnail of %s with orientation %d shows %s, want %s", kind.name, o, got, upright[o])
			}
			if size := m.Bounds().Size(); f.Width != size.X || f.Height != size.Y || o > 4 != (f.Width == 48) {
				t.Errorf("%s with orientation %d is said to be %d by %d", kind.name, o, f.Width, f.Height)
			}
			if want := kind.got; o > 1 && f.MediaType != want || o == 1 && f.MediaType != kind.stored {
				t.Errorf("%s with orientation %d is %s", kind.name, o, f.MediaType)
			}
			tellsNothing(t, f.content)
			if o == 1 && !samePixels(m, decoded(t, upload)) {
				t.Errorf("an upright %s has other pixels than it came with", kind.name)
			}
		}
	}
}

func TestATurnedWebPHasTheNameOfWhatItBecame(t *testing.T) {
	t.Parallel()
	f := passes(t, sticker(t, scene(64, 48), 6), "my.sticker.webp", webpType)
	if f.Name != "my.sticker.png" || f.MediaType != pngType {
		t.Errorf("got %s, %s", f.Name, f.MediaType)
	}
}

func TestAScanKeepsItsOrientationAsATag(t *testing.T) {
	t.Parallel()
	pixels := bytes.Repeat([]byte{10, 10, 10, 250, 250, 250, 250, 250}, 4)
	for o := 1; o <= 8; o++ {
		f := passes(t, scan(1, pixels, 8, 4, tag{274, 3, 1, []byte{byte(o), 0}}), "scan.tif", tiffType)
		width, height := 8, 4
		if o > 4 {
			width, height = 4, 8
		}
		if f.Width != width || f.Height != height || f.Thumbnail.Width != width || f.Thumbnail.Height != height {
			t.Errorf("orientation %d: %d by %d, thumbnail %d by %d", o, f.Width, f.Height, f.Thumbnail.Width, f.Thumbnail.Height)
		}
		darkIsFirst := decodedGray(t, f.Thumbnail.Bytes, 0, 0) < 100
		if want := slices.Contains([]int{1, 4, 5, 6}, o); darkIsFirst != want {
			t.Errorf("orientation %d is turned the wrong way", o)
		}
		if !bytes.Contains(f.content, []byte{0x12, 0x01, 3, 0, 1, 0, 0, 0, byte(o), 0}) {
			t.Errorf("orientation %d is lost", o)
		}
	}
}

func decodedGray(t testing.TB, b []byte, x, y int) uint8 {
	return color.GrayModel.Convert(decoded(t, b).At(x, y)).(color.Gray).Y
}

func TestTheColourProfileIsKept(t *testing.T) {
	t.Parallel()
	for _, o := range []int{1, 6} {
		if f := passes(t, photo(t, o), "a.jpg", jpegType); !bytes.Contains(f.content, []byte(profile)) {
			t.Errorf("a JPEG of orientation %d lost its profile", o)
		}
		if f := passes(t, screenshot(t, scene(64, 48), o), "a.png", pngType); bytes.Count(f.content, []byte("gAMA")) != 1 {
			t.Errorf("a PNG of orientation %d lost its gamma", o)
		}
	}
}

func TestAPhotoIsTurnedTheSameByPlanesAsByPixels(t *testing.T) {
	t.Parallel()
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440,
		image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		for _, size := range []image.Point{{8, 6}, {7, 6}, {8, 5}, {7, 5}} {
			whole := image.NewYCbCr(image.Rect(0, 0, 16, 16), ratio)
			for i := range whole.Y {
				whole.Y[i] = uint8(17 * i)
			}
			for i := range whole.Cb {
				whole.Cb[i], whole.Cr[i] = uint8(31*i), uint8(57*i)
			}
			stored := whole.SubImage(image.Rectangle{Max: size})
			for o := 1; o <= 8; o++ {
				if !samePixels(turn(stored, o), turned{stored, o}) {
					t.Errorf("%v of %v with orientation %d is another picture", ratio, size, o)
				}
			}
		}
	}
}

func TestAGrayPhotoStaysGrayWhenItIsTurned(t *testing.T) {
	t.Parallel()
	gray := image.NewGray(image.Rect(0, 0, 40, 20))
	upload := spliced(aJPEG(t, gray), 2, segment(jpegAPP1, append([]byte("Exif\x00\x00"), exif(6)...)))
	f := passes(t, upload, "a.jpg", jpegType)
	if m, ok := decoded(t, f.content).(*image.Gray); !ok || m.Rect.Dx() != 20 {
		t.Errorf("it is %T", m)
	}
}

func TestAnAnimationKeepsItsFramesAndLoops(t *testing.T) {
	t.Parallel()
	plain := aGIF(t, 5)
	behindPalette := 13 + 3*4
	upload := append(spliced(plain, behindPalette, []byte("\x21\xFE\x19"+secret+"\x00"), []byte("\x21\xFF\x0BXMP DataXMP\x19"+secret+"\x00")), secret...)

	f := passes(t, upload, "moving.gif", gifType)

	if !bytes.Equal(f.content, plain) {
		t.Errorf("others get %d bytes, want the %d without comments", len(f.content), len(plain))
	}
	g, err := gif.DecodeAll(bytes.NewReader(f.content))
	if err != nil || len(g.Image) != 5 || g.LoopCount != 7 {
		t.Errorf("it is damaged: %v", err)
	}
	tellsNothing(t, f.content)
}

func TestAMovingPNGKeepsItsFrames(t *testing.T) {
	t.Parallel()
	plain := spliced(aPNG(t, scene(8, 8)), 33, chunk("acTL", make([]byte, 8)), chunk("fcTL", make([]byte, 26)), chunk("eXIf", exif(6)))
	f := passes(t, plain, "moving.png", "image/apng")
	if !bytes.Contains(f.content, []byte("fcTL")) || f.Width != 8 || f.MediaType != pngType {
		t.Error("the frames are lost")
	}
	tellsNothing(t, f.content)
}

func TestNothingButPagesIsLeftOfAScan(t *testing.T) {
	t.Parallel()
	long := []byte(secret)
	upload := append(scan(3, bytes.Repeat([]byte{100}, 64), 8, 8,
		tag{270, 2, uint32(len(long)), long}, tag{271, 2, uint32(len(long)), long}, tag{305, 2, 4, []byte("GPS\x00")},
		tag{315, 2, uint32(len(long)), long}, tag{700, 1, uint32(len(long)), long}, tag{33723, 7, uint32(len(long)), long},
		tag{34665, 4, 1, []byte{8, 0, 0, 0}}, tag{34853, 4, 1, []byte{8, 0, 0, 0}}, tag{37724, 7, uint32(len(long)), long},
		tag{34675, 7, 30, []byte("the colours of the scanner....")}), secret...)

	f := passes(t, upload, "scan.tiff", tiffType)

	tellsNothing(t, f.content)
	if !bytes.Contains(f.content, []byte("the colours of the scanner")) {
		t.Error("the colour profile is lost")
	}
	if !samePixels(decoded(t, f.content), decoded(t, upload)) {
		t.Error("the pixels are others")
	}
	again := passes(t, f.content, "scan.tiff", tiffType)
	if !bytes.Equal(again.content, f.content) {
		t.Error("inspecting it again changes it")
	}
}

func TestAFaxThatCannotBeDecodedPassesWithoutItsMetadata(t *testing.T) {
	t.Parallel()
	upload := scan(1, []byte("pixels of a kind nobody knows"), 300, 200, tag{258, 3, 1, []byte{1, 0}}, tag{259, 3, 1, []byte{99, 0}},
		tag{270, 2, uint32(len(secret)), []byte(secret)})
	// The compression of scan stands first, so that this one has to be put in its place.
	upload = bytes.Replace(upload, []byte{3, 1, 3, 0, 1, 0, 0, 0, 1, 0}, []byte{3, 1, 3, 0, 1, 0, 0, 0, 99, 0}, 1)

	f := passes(t, upload, "fax.tif", tiffType)

	if f.Width != 300 || f.Height != 200 || f.Thumbnail != nil {
		t.Errorf("got %d by %d, thumbnail %v", f.Width, f.Height, f.Thumbnail)
	}
	tellsNothing(t, f.content)
}

func TestAJPEGWithinAScanLosesItsMetadata(t *testing.T) {
	t.Parallel()
	upload := scan(1, spliced(aJPEG(t, scene(16, 16)), 2, segment(jpegAPP1, []byte("Exif\x00\x00"+secret)), segment(0xFE, []byte(secret))), 16, 16)
	upload = bytes.Replace(upload, []byte{3, 1, 3, 0, 1, 0, 0, 0, 1, 0}, []byte{3, 1, 3, 0, 1, 0, 0, 0, 7, 0}, 1)
	tellsNothing(t, passes(t, upload, "scan.tif", tiffType).content)

	old := bytes.Replace(upload, []byte{3, 1, 3, 0, 1, 0, 0, 0, 7, 0}, []byte{3, 1, 3, 0, 1, 0, 0, 0, 6, 0}, 1)
	_, err := inspects(t, old, "scan.tif", tiffType)
	isRefused(t, err, NotAllowed)
}

func TestListsOfTagsThatOverlapOrGoInCirclesAreDamage(t *testing.T) {
	t.Parallel()
	circle := scan(1, bytes.Repeat([]byte{1}, 64), 8, 8)
	copy(circle[len(circle)-4:], circle[4:8])
	_, err := inspects(t, circle, "a.tif", tiffType)
	isRefused(t, err, Damaged)

	overlapping := scan(1, bytes.Repeat([]byte{1}, 64), 8, 8, tag{279, 4, 1, []byte{64, 0, 0, 0}})
	overlapping = bytes.Replace(overlapping, []byte{0x11, 1, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0}, []byte{0x11, 1, 4, 0, 1, 0, 0, 0, 60, 0, 0, 0}, 1)
	_, err = inspects(t, overlapping, "a.tif", tiffType)
	isRefused(t, err, Damaged)
}

func TestABitmapEndsWhereItsPixelsEnd(t *testing.T) {
	t.Parallel()
	plain := aBMP(t, scene(33, 20))
	f := passes(t, append(slices.Clone(plain), secret...), "a.bmp", bmpType)
	tellsNothing(t, f.content)
	if !samePixels(decoded(t, f.content), decoded(t, plain)) || len(f.content) != len(plain) {
		t.Error("the pixels are others")
	}
}

func TestBehindTheEndOfAPictureNothingIsLeft(t *testing.T) {
	t.Parallel()
	tail := archive(t, "evil.exe")
	for name, picture := range map[string][]byte{
		"a.jpg": aJPEG(t, scene(9, 9)), "a.png": aPNG(t, scene(9, 9)), "a.gif": aGIF(t, 1), "a.webp": aWebP(t, scene(9, 9)),
		"a.bmp": aBMP(t, scene(9, 9)), "a.tif": aTIFF(t, scene(9, 9)),
	} {
		if f := passes(t, append(slices.Clone(picture), tail...), name, ""); bytes.Contains(f.content, []byte("evil")) {
			t.Errorf("%s is still an archive", name)
		}
	}
}

func TestAThumbnailIsSmallAndKeepsItsShapeAndTransparency(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ width, height, smallWidth, smallHeight int }{
		{64, 48, 64, 48}, {512, 512, 512, 512}, {513, 100, 512, 100}, {1600, 800, 512, 256}, {3, 3000, 1, 512}, {1300, 1299, 512, 512},
	} {
		f := passes(t, aPNG(t, scene(c.width, c.height)), "a.png", pngType)
		if s := f.Thumbnail; s.Width != c.smallWidth || s.Height != c.smallHeight || s.MediaType != jpegType {
			t.Errorf("%d by %d becomes %d by %d, %s", c.width, c.height, s.Width, s.Height, s.MediaType)
		}
		if size := decoded(t, f.Thumbnail.Bytes).Bounds().Size(); size != image.Pt(c.smallWidth, c.smallHeight) {
			t.Errorf("%d by %d becomes %v", c.width, c.height, size)
		}
	}
	clear := scene(600, 600)
	for i := 3; i < len(clear.Pix); i += 4 {
		clear.Pix[i] = 100
	}
	f := passes(t, aPNG(t, clear), "a.png", pngType)
	if _, _, _, a := decoded(t, f.Thumbnail.Bytes).At(5, 5).RGBA(); a>>8 != 100 || f.Thumbnail.MediaType != pngType {
		t.Errorf("the thumbnail is %s, %d opaque", f.Thumbnail.MediaType, a>>8)
	}
}

func TestAPictureThatWouldFillMemoryIsRefusedByItsHeader(t *testing.T) {
	t.Parallel()
	header := func(width, height uint32, depth, colour byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, width)
		b = binary.BigEndian.AppendUint32(b, height)
		return slices.Concat([]byte(pngSignature), chunk("IHDR", append(b, depth, colour, 0, 0, 0)), chunk("IDAT", []byte{1}), chunk("IEND", nil))
	}
	sof := func(marker byte, width, height uint16, sampling byte) []byte {
		body := binary.BigEndian.AppendUint16([]byte{8}, height)
		body = binary.BigEndian.AppendUint16(body, width)
		body = append(body, 3, 1, sampling, 0, 2, 0x11, 0, 3, 0x11, 0)
		return slices.Concat([]byte{0xFF, 0xD8}, segment(jpegAPP0, []byte("JFIF\x00\x01\x01\x00\x00\x48\x00\x48\x00\x00")), segment(marker, body),
			segment(jpegSOS, []byte{1, 1, 0, 0, 63, 0}), []byte{0xFF, 0xD9})
	}
	gigantic := aGIF(t, 1)
	copy(gigantic[6:], []byte{0xFF, 0xFF, 0xFF, 0xFF})
	film := aGIF(t, 1)
	frame := film[25 : len(film)-1]
	film = slices.Concat(film[:25], bytes.Repeat(frame, maxFrames+1), []byte{0x3B})
	wide := aBMP(t, scene(4, 4))
	copy(wide[18:], []byte{0, 0, 1, 0})
	liar := sticker(t, scene(8, 8), 1)
	lossless := aWebP(t, scene(8, 8))
	copy(lossless[21:], []byte{0xFF, 0xFF, 0xFF, 0x0F})
	for name, c := range map[string]struct {
		upload []byte
		want   Code
	}{
		"a PNG of 50,000 by 50,000":          {header(50_000, 50_000, 8, 0), PictureTooLarge},
		"a PNG of 2^31 by 2^31":              {header(1<<31-1, 1<<31-1, 16, 6), PictureTooLarge},
		"a PNG of 8,000 by 7,000":            {header(8_000, 7_000, 1, 0), PictureTooLarge},
		"a PNG of 5,000 by 4,000 in 64 bits": {header(5_000, 4_000, 16, 6), PictureTooLarge},
		"a JPEG of 30,000 by 100":            {sof(jpegSOF0, 30_000, 100, 0x22), PictureTooLarge},
		"a progressive JPEG of 7,000²":       {sof(jpegSOF2, 7_000, 7_000, 0x11), PictureTooLarge},
		"a GIF of 65,535 by 65,535":          {gigantic, PictureTooLarge},
		"a GIF of 10,001 frames":             {film, PictureTooLarge},
		"a TIFF of 2^31 by 2^31":             {scan(1, []byte{1, 2, 3, 4}, 1<<31-1, 1<<31-1), PictureTooLarge},
		"a BMP of 65,536 by 4":               {wide, PictureTooLarge},
		"a WebP of 16,384 by 16,384":         {lossless, PictureTooLarge},
		"a WebP whose canvas lies":           {bytes.Replace(liar, []byte{7, 0, 0, 7, 0, 0}, []byte{9, 9, 9, 9, 9, 9}, 1), Damaged},
	} {
		_, err := inspects(t, c.upload, "a", "")
		if refused := (*Refused)(nil); !errors.As(err, &refused) || refused.Code != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// A gray scan takes a byte for a pixel, unless something of it is transparent.
func TestAGrayScanMayHaveMorePixelsThanAColouredOne(t *testing.T) {
	t.Parallel()
	scan := func(colour byte, chunks ...string) error {
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8000), 6000)
		file := pngSignature + string(chunk("IHDR", append(head, 8, colour, 0, 0, 0))) + strings.Join(chunks, "") + string(chunk("IEND", nil))
		_, err := cleanPNG(newReader(t.Context(), strings.NewReader(file), int64(len(file))), io.Discard)
		return err
	}
	if err := scan(0); err != nil {
		t.Errorf("a gray one is refused: %v", err)
	}
	for name, err := range map[string]error{"a coloured one": scan(2), "a transparent one": scan(0, string(chunk("tRNS", []byte{0, 0})))} {
		refused := new(Refused)
		if !errors.As(err, &refused) || refused.Code != PictureTooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPictureThatEndsTooEarlyIsDamaged(t *testing.T) {
	t.Parallel()
	for name, picture := range map[string][]byte{
		"a.jpg": aJPEG(t, scene(200, 200)), "a.png": aPNG(t, scene(200, 200)), "a.gif": aGIF(t, 3), "a.webp": aWebP(t, scene(200, 200)),
		"a.bmp": aBMP(t, scene(200, 200)), "a.tif": aTIFF(t, scene(200, 200)),
	} {
		for _, at := range []int{len(picture) / 2, len(picture) - 3} {
			_, err := inspects(t, picture[:at], name, "")
			if at == len(picture)-3 && name == "a.jpg" && err == nil {
				continue // only its end was missing
			}
			isRefused(t, err, Damaged)
		}
	}
	png := aPNG(t, scene(9, 9))
	png[len(png)-20] ^= 1
	_, err := inspects(t, png, "a.png", pngType)
	isRefused(t, err, Damaged)
}

func TestAPhotoWithoutItsEndMarkerPassesIfAllPixelsAreThere(t *testing.T) {
	t.Parallel()
	whole := aJPEG(t, scene(64, 64))
	f := passes(t, whole[:len(whole)-2], "a.jpg", jpegType)
	if !bytes.Equal(f.content, whole) {
		t.Error("it was not given its end")
	}
}

func TestAMovingWebPIsRefused(t *testing.T) {
	t.Parallel()
	features := make([]byte, 10)
	features[0] = webpAnimated
	_, err := inspects(t, riff(riffOf("VP8X", features), riffOf("ANIM", make([]byte, 6))), "a.webp", webpType)
	isRefused(t, err, NotAllowed)
}

// drawnOverAndOver is a small JPEG of many scans, each of a few bytes that say that all pixels stay as they are.
func drawnOverAndOver(scans int) []byte {
	scan := slices.Concat(segment(jpegSOS, []byte{1, 1, 0, 1, 63, 0}), []byte{0, 1})
	return slices.Concat([]byte{0xFF, jpegSOI}, segment(jpegSOF2, []byte{8, 3, 0xE8, 3, 0xE8, 1, 1, 0x11, 0}),
		segment(jpegDHT, append([]byte{0x10, 1}, append(make([]byte, 15), 0xE0)...)), bytes.Repeat(scan, scans), []byte{0xFF, jpegEOI})
}

func TestAPictureThatTakesForeverIsGivenUp(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out := &output{ctx: t.Context(), file: file}
	if _, err := out.Write(drawnOverAndOver(200_000)); err != nil {
		t.Fatal(err)
	}

	_, err = decodeWithin(t.Context(), 50*time.Millisecond, formats[jpegType], out)

	isRefused(t, err, PictureTooLarge)
	passes(t, drawnOverAndOver(3), "a.jpg", jpegType)
}

func TestWhoWaitsForAnotherPictureMayLeave(t *testing.T) {
	t.Parallel()
	decoding <- struct{}{}
	defer func() { <-decoding }()
	ctx, leave := context.WithCancel(t.Context())
	started, ended := make(chan struct{}), make(chan error)
	b := aJPEG(t, scene(9, 9))
	scratch := func() (*os.File, error) {
		close(started)
		return os.Create(filepath.Join(t.TempDir(), "scratch"))
	}
	go func() {
		_, err := Inspect(ctx, bytes.NewReader(b), int64(len(b)), Given{}, DefaultTypes(), scratch)
		ended <- err
	}()
	<-started

	leave()

	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestACancelledInspectionSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := aJPEG(t, scene(9, 9))
	_, err := Inspect(ctx, bytes.NewReader(b), int64(len(b)), Given{}, DefaultTypes(), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAFailingScratchFileIsNotTheSendersFault(t *testing.T) {
	t.Parallel()
	b := aJPEG(t, scene(9, 9))
	closed := func() (*os.File, error) {
		f, err := os.Create(filepath.Join(t.TempDir(), "scratch"))
		return f, errors.Join(err, f.Close())
	}
	_, err := Inspect(t.Context(), bytes.NewReader(b), int64(len(b)), Given{}, DefaultTypes(), closed)
	if refused := (*Refused)(nil); err == nil || errors.As(err, &refused) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// fuzzPicture holds what cleaning promises, whatever was sent: what others get is the same picture, and clean.
func fuzzPicture(f *testing.F, mediaType string, seeds ...[]byte) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		format := formats[mediaType]
		var out bytes.Buffer
		in := newReader(t.Context(), bytes.NewReader(b), int64(len(b)))
		p, err := format.clean(in, &out)
		if err != nil || p.bounded() != nil || p.decoded > 1<<22 || p.working > 1<<24 {
			return
		}
		cleaned := out.Bytes()
		got, gotErr := safely(format.decode, bytes.NewReader(cleaned))
		want, wantErr := safely(format.decode, bytes.NewReader(b))
		if wantErr == nil && mediaType != webpType && (gotErr != nil || !samePixels(got, want)) {
			t.Fatalf("the picture is another one: %v", gotErr)
		}
		if gotErr != nil {
			return
		}
		var again bytes.Buffer
		p2, err := format.clean(newReader(t.Context(), bytes.NewReader(cleaned), int64(len(cleaned))), &again)
		if err != nil || !bytes.Equal(again.Bytes(), cleaned) {
			t.Fatalf("cleaning it again changes it: %v", err)
		}
		if p2.width != p.width || p2.height != p.height {
			t.Fatal("its size is another one")
		}
	})
}

func FuzzJPEG(f *testing.F) {
	fuzzPicture(f, jpegType, aJPEG(f, scene(20, 20)), photo(f, 6), aJPEG(f, image.NewGray(image.Rect(0, 0, 9, 9))))
}

func FuzzPNG(f *testing.F) {
	fuzzPicture(f, pngType, aPNG(f, scene(20, 20)), screenshot(f, scene(9, 9), 6), aPNG(f, image.NewGray16(image.Rect(0, 0, 9, 9))))
}

func FuzzGIF(f *testing.F) { fuzzPicture(f, gifType, aGIF(f, 1), aGIF(f, 3)) }

func FuzzWebP(f *testing.F) {
	fuzzPicture(f, webpType, aWebP(f, scene(20, 20)), sticker(f, scene(9, 9), 6))
}

func FuzzTIFF(f *testing.F) {
	fuzzPicture(f, tiffType, aTIFF(f, scene(20, 20)), scan(3, bytes.Repeat([]byte{9}, 64), 8, 8, tag{270, 2, 10, []byte("0123456789")}))
}

func FuzzBMP(f *testing.F) { fuzzPicture(f, bmpType, aBMP(f, scene(20, 20))) }

// BenchmarkInspect is of the photo of a phone that was held upright, which has to be turned.
func BenchmarkInspect(b *testing.B) {
	m := image.NewYCbCr(image.Rect(0, 0, 8000, 6000), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = uint8(i * i >> 7)
	}
	upload := spliced(aJPEG(b, m), 2, segment(jpegAPP1, append([]byte("Exif\x00\x00"), exif(6)...)))
	for b.Loop() {
		passes(b, upload, "photo.jpg", jpegType)
	}
}
