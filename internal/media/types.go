package media

import (
	"fmt"
	"mime"
	"slices"
	"strings"
)

// kind is a media type that is known here: how else it is called, and how files of it are named.
type kind struct {
	name       string
	aliases    []string
	extensions []string // the first is given to files that have none that fits
	standard   bool     // is on the list of DefaultTypes
	plain      bool     // is text that nothing runs or draws, so that it may go as any other such text
}

const (
	unknown = "application/octet-stream"
	plain   = "text/plain"
	script  = "text/x-shellscript"
	csvType = "text/csv"

	jpegType = "image/jpeg"
	pngType  = "image/png"
	gifType  = "image/gif"
	webpType = "image/webp"
	tiffType = "image/tiff"
	bmpType  = "image/bmp"

	pdfType  = "application/pdf"
	zipType  = "application/zip"
	oleType  = "application/x-ole-storage"
	docType  = "application/msword"
	xlsType  = "application/vnd.ms-excel"
	pptType  = "application/vnd.ms-powerpoint"
	docxType = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	xlsxType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	pptxType = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
)

var kinds = []kind{
	{name: jpegType, aliases: []string{"image/jpg", "image/pjpeg"}, extensions: []string{".jpg", ".jpeg", ".jpe", ".jfif"}, standard: true},
	{name: pngType, aliases: []string{"image/apng", "image/vnd.mozilla.apng", "image/x-png"}, extensions: []string{".png", ".apng"}, standard: true},
	{name: gifType, extensions: []string{".gif"}, standard: true},
	{name: webpType, extensions: []string{".webp"}, standard: true},
	{name: tiffType, aliases: []string{"image/tif", "image/x-tiff"}, extensions: []string{".tif", ".tiff"}, standard: true},
	{name: bmpType, aliases: []string{"image/x-bmp", "image/x-ms-bmp"}, extensions: []string{".bmp", ".dib"}, standard: true},

	{name: pdfType, aliases: []string{"application/x-pdf"}, extensions: []string{".pdf"}, standard: true},
	{name: "application/rtf", aliases: []string{"text/rtf", "application/x-rtf"}, extensions: []string{".rtf"}, standard: true},
	{name: docxType, extensions: []string{".docx", ".dotx"}, standard: true},
	{name: xlsxType, extensions: []string{".xlsx", ".xltx"}, standard: true},
	{name: pptxType, extensions: []string{".pptx", ".ppsx", ".potx"}, standard: true},
	{name: docType, aliases: []string{"application/vnd.ms-word"}, extensions: []string{".doc", ".dot"}, standard: true},
	{name: xlsType, aliases: []string{"application/msexcel"}, extensions: []string{".xls", ".xlt"}, standard: true},
	{name: pptType, aliases: []string{"application/mspowerpoint"}, extensions: []string{".ppt", ".pps", ".pot"}, standard: true},
	{
		name: "application/vnd.oasis.opendocument.text", aliases: []string{"application/x-vnd.oasis.opendocument.text"},
		extensions: []string{".odt"}, standard: true,
	},
	{
		name: "application/vnd.oasis.opendocument.spreadsheet", aliases: []string{"application/x-vnd.oasis.opendocument.spreadsheet"},
		extensions: []string{".ods"}, standard: true,
	},
	{
		name: "application/vnd.oasis.opendocument.presentation", aliases: []string{"application/x-vnd.oasis.opendocument.presentation"},
		extensions: []string{".odp"}, standard: true,
	},
	{name: "application/dicom", extensions: []string{".dcm", ".dicom"}, standard: true},

	{name: "audio/mpeg", aliases: []string{"audio/mp3", "audio/x-mpeg", "audio/x-mp3"}, extensions: []string{".mp3"}, standard: true},
	{name: "audio/mp4", aliases: []string{"audio/x-m4a", "audio/m4a", "audio/x-mp4a"}, extensions: []string{".m4a", ".mp4"}, standard: true},
	{
		name: "audio/ogg", aliases: []string{"application/ogg", "application/x-ogg", "audio/opus", "audio/vorbis"},
		extensions: []string{".ogg", ".oga", ".opus"}, standard: true,
	},
	{name: "audio/wav", aliases: []string{"audio/x-wav", "audio/wave", "audio/vnd.wave"}, extensions: []string{".wav"}, standard: true},
	{name: "video/mp4", aliases: []string{"video/x-m4v"}, extensions: []string{".mp4", ".m4v"}, standard: true},
	{name: "video/quicktime", extensions: []string{".mov", ".qt"}, standard: true},
	{name: "video/webm", aliases: []string{"audio/webm"}, extensions: []string{".webm", ".weba"}, standard: true},

	// The extensions of plain text are few: none of them is run by anything.
	{name: plain, extensions: []string{".txt", ".csv", ".md", ".log", ".text"}, standard: true, plain: true},
	{name: csvType, aliases: []string{"application/csv", "text/x-csv"}, extensions: []string{".csv", ".txt"}, standard: true, plain: true},

	{name: "text/markdown", aliases: []string{"text/x-markdown"}, extensions: []string{".md", ".txt"}, plain: true},
	{name: "text/tab-separated-values", extensions: []string{".tsv", ".txt"}, plain: true},
	{name: "text/calendar", extensions: []string{".ics"}, plain: true},
	{name: "text/vcard", aliases: []string{"text/x-vcard"}, extensions: []string{".vcf"}, plain: true},
	{name: "text/vtt", extensions: []string{".vtt"}, plain: true},
	{name: "application/x-subrip", aliases: []string{"application/x-srt", "text/x-srt"}, extensions: []string{".srt"}, plain: true},
	{name: "application/json", aliases: []string{"text/json"}, extensions: []string{".json"}, plain: true},
	{name: "application/x-ndjson", extensions: []string{".ndjson"}, plain: true},

	{name: "application/zip", aliases: []string{"application/x-zip", "application/x-zip-compressed"}, extensions: []string{".zip"}},
	{name: "text/html", aliases: []string{"application/xhtml+xml"}, extensions: []string{".html", ".htm", ".xhtml"}},
	{name: "text/xml", aliases: []string{"application/xml"}, extensions: []string{".xml"}},
	{name: "image/svg+xml", extensions: []string{".svg"}},
	{name: "image/heic", aliases: []string{"image/heic-sequence"}, extensions: []string{".heic"}},
	{name: "image/heif", aliases: []string{"image/heif-sequence"}, extensions: []string{".heif", ".heic"}},
	{name: "image/avif", extensions: []string{".avif"}},
	{name: "image/jp2", extensions: []string{".jp2"}},
	{name: "audio/aac", extensions: []string{".aac"}},
	{name: "audio/amr", aliases: []string{"audio/amr-nb"}, extensions: []string{".amr"}},
	{name: "audio/flac", extensions: []string{".flac"}},
	{name: "video/3gpp", aliases: []string{"video/3gp", "audio/3gpp"}, extensions: []string{".3gp"}},
	{name: "video/matroska", aliases: []string{"video/x-matroska"}, extensions: []string{".mkv"}},
	{name: "video/x-msvideo", aliases: []string{"video/avi", "video/msvideo"}, extensions: []string{".avi"}},
	{name: "application/vnd.ms-outlook", extensions: []string{".msg"}},
	{name: "application/gzip", aliases: []string{"application/x-gzip"}, extensions: []string{".gz"}},
	{name: "application/x-7z-compressed", extensions: []string{".7z"}},
}

// kindOf finds a known type by its name or one of its aliases.
var kindOf = func() map[string]kind {
	found := map[string]kind{}
	for _, k := range kinds {
		found[k.name] = k
		for _, alias := range k.aliases {
			found[alias] = k
		}
	}
	return found
}()

// canonical is a media type without parameters, in lower case and by its first name. It is empty
// if there is nothing that claims anything.
func canonical(mediaType string) string {
	name, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		name, _, _ = strings.Cut(mediaType, ";")
		name = strings.ToLower(strings.TrimSpace(name))
	}
	if k, known := kindOf[name]; known {
		return k.name
	}
	if name == unknown || name == "binary/octet-stream" {
		return ""
	}
	return name
}

// Types is a list of the media types that are allowed.
type Types struct{ names []string }

// DefaultTypes are what staff of a clinic send each other: pictures, documents, scans, recordings.
// Nothing of it is run or drawn as a page by a browser, and no document holds macros.
func DefaultTypes() Types {
	var types Types
	for _, k := range kinds {
		if k.standard {
			types.names = append(types.names, k.name)
		}
	}
	slices.Sort(types.names)
	return types
}

// ParseTypes reads a list such as "image/jpeg,application/pdf". It refuses types that can't be told by
// their bytes here, and says which can.
func ParseTypes(list string) (Types, error) {
	var types Types
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		k, known := kindOf[strings.ToLower(name)]
		if !known {
			var all []string
			for _, k := range kinds {
				all = append(all, k.name)
			}
			slices.Sort(all)
			return Types{}, fmt.Errorf("%q is not a media type that is known here: %s", name, strings.Join(all, ", "))
		}
		types.names = append(types.names, k.name)
	}
	if len(types.names) == 0 {
		return Types{}, fmt.Errorf("a list of media types names none")
	}
	slices.Sort(types.names)
	types.names = slices.Compact(types.names)
	return types, nil
}

// Allow tells whether a type is on the list, by any of its names.
func (t Types) Allow(mediaType string) bool {
	_, found := slices.BinarySearch(t.names, canonical(mediaType))
	return found
}

// Accept refuses a type that was announced if no file of it will be taken, whatever its bytes are.
func (t Types) Accept(announced string) *Refused {
	name := canonical(announced)
	if name == "" || t.Allow(name) || kindOf[name].plain && t.Allow(plain) {
		return nil
	}
	return notAllowed(named(name))
}

// List are the types in alphabetical order.
func (t Types) List() []string { return slices.Clone(t.names) }

// String is the list as ParseTypes reads it.
func (t Types) String() string { return strings.Join(t.names, ",") }

// sameContainer are types whose bytes can't be told apart without reading the tracks: a recording
// of a voice may be found as a film.
var sameContainer = map[string]string{"audio/mp4": "video/mp4"}

// settle says what a file is, given what its bytes are and what it was announced as: what the bytes are,
// but for what bytes can't tell, where the announcement is believed.
func (t Types) settle(found, announced string) (string, *Refused) {
	if found == unknown && announced != "" {
		return "", refuse(TypeMismatch, "The file was announced as %s, but is none.", named(announced))
	}
	if announced == xlsType && kindOf[found].plain {
		announced = csvType // as browsers on Windows call it
	}
	if announced != "" && announced != found {
		bothPlain := kindOf[found].plain && kindOf[announced].plain
		switch {
		case (bothPlain || sameContainer[announced] == found) && t.Allow(announced):
			return announced, nil
		case bothPlain && t.Allow(plain):
			return plain, nil
		}
	}
	if !t.Allow(found) {
		if kindOf[found].plain && announced == "" && t.Allow(plain) {
			return plain, nil
		}
		return "", notAllowed(found)
	}
	if announced != "" && announced != found {
		return "", refuse(TypeMismatch, "The file was announced as %s, but its bytes are %s.", named(announced), found)
	}
	return found, nil
}

// named is a type for a sentence: nothing that a sender made up is repeated.
func named(mediaType string) string {
	if _, known := kindOf[mediaType]; known {
		return mediaType
	}
	return "another type"
}

func notAllowed(found string) *Refused {
	if _, known := kindOf[found]; !known {
		return refuse(NotAllowed, "Files of this kind can't be sent here.")
	}
	return refuse(NotAllowed, "Files of the type %s can't be sent here.", found)
}
