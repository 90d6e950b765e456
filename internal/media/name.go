package media

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The limits of a file's name, with its extension.
const (
	MaxName      = 200 // characters (Unicode code points)
	MaxNameBytes = 255
)

// maxExtension is more than any extension that is known here. What is longer is part of the name.
const maxExtension = 16

// CleanName makes of a name that a sender gave one that is harmless wherever the file is kept: the last
// element of a path, in NFC, of at most MaxName characters, without what can't be seen or turns the
// direction of the writing, without the characters and names that Windows keeps for itself, and never
// hidden. Of a name of which nothing is left it makes "file". A clean name stays as it is. It refuses,
// with INVALID_NAME, only what is not UTF-8.
func CleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", refuse(InvalidName, "The name of the file is not valid UTF-8.")
	}
	if cut := strings.LastIndexAny(name, `/\`); cut >= 0 {
		name = name[cut+1:]
	}
	name = norm.NFC.String(name)
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Zl, unicode.Zp), unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.In(r, unicode.Co), r == utf8.RuneError:
			return -1
		case unicode.IsSpace(r):
			return ' '
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		}
		return r
	}, name)
	// What was taken out may have stood between a letter and its accent.
	name = norm.NFC.String(name)
	name = strings.TrimRight(strings.TrimLeft(name, ". "), ". ")
	name = cutName(name, "")
	if reserved(name) {
		name = cutName("_"+name, "")
	}
	if name == "" {
		return "file", nil
	}
	return name, nil
}

// reserved tells whether Windows takes a name for a device, whatever its extension.
func reserved(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	if slices.Contains([]string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"}, stem) {
		return true
	}
	device, isPort := strings.CutPrefix(stem, "COM")
	if !isPort {
		device, isPort = strings.CutPrefix(stem, "LPT")
	}
	return isPort && utf8.RuneCountInString(device) == 1 && strings.Contains("0123456789¹²³", device)
}

// cutName keeps a name with an ending within the limits: it is the stem that is cut, never the extension.
func cutName(name, ending string) string {
	if ending == "" {
		name, ending = splitExtension(name)
	}
	for utf8.RuneCountInString(name)+utf8.RuneCountInString(ending) > MaxName || len(name)+len(ending) > MaxNameBytes {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	if ending == "" {
		return strings.TrimRight(name, ". ")
	}
	return name + ending
}

func splitExtension(name string) (stem, extension string) {
	extension = path.Ext(name)
	if len(extension) < 2 || len(extension) > maxExtension || len(extension) == len(name) {
		return name, ""
	}
	return name[:len(name)-len(extension)], extension
}

// fitName gives a clean name an extension that fits the type: its own, or the right one behind it, so that
// the name can't promise another type than the file has.
func fitName(name, mediaType string) string {
	k, known := kindOf[mediaType]
	if !known || slices.Contains(k.extensions, strings.ToLower(path.Ext(name))) {
		return name
	}
	return cutName(name, k.extensions[0])
}
