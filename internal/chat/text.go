package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// The limits of what people type, in characters (Unicode code points).
const (
	MaxMessage   = 10_000
	MaxGroupName = 100
	MaxName      = 200
	MaxEmail     = 254
	MaxSearch    = 100
	MaxClientKey = 100
)

// clean normalises text to NFC and refuses what no person types: control characters other than
// those allowed, and bytes that are not UTF-8. Every other character stays as it is.
func clean(field, text string, limit int, allowed string) (string, *Error) {
	if !utf8.ValidString(text) {
		return "", invalid(field, "The text is not valid UTF-8.")
	}
	if len(text) > 4*limit || utf8.RuneCountInString(text) > limit {
		return "", invalid(field, "The text has more than %d characters.", limit)
	}
	text = norm.NFC.String(text)
	for _, r := range text {
		if (unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp)) && !strings.ContainsRune(allowed, r) {
			return "", invalid(field, "The text contains a control character.")
		}
	}
	// A few characters are longer in NFC than as they were sent.
	if utf8.RuneCountInString(text) > limit {
		return "", invalid(field, "The text has more than %d characters.", limit)
	}
	return text, nil
}

// validBody is what a message may say: lines of text with something in them, or nothing beside files.
func validBody(text string, besideFiles bool) (string, error) {
	body, err := clean("body", strings.ReplaceAll(text, "\r\n", "\n"), MaxMessage, "\n\t\u2028\u2029")
	if err != nil {
		return "", err
	}
	if blank(body) && !besideFiles {
		return "", invalid("body", "The message is empty.")
	}
	return body, nil
}

// validGroupName is one line with something in it.
func validGroupName(text string) (string, error) {
	name, err := clean("name", strings.TrimSpace(text), MaxGroupName, "")
	if err != nil {
		return "", err
	}
	if blank(name) {
		return "", invalid("name", "A group needs a name.")
	}
	return name, nil
}

func validClientKey(key string) (string, error) {
	if key == "" {
		return "", invalid("clientKey", "The client key is empty. Make a new one for each thing a person does, such as a UUID.")
	}
	key, err := clean("clientKey", key, MaxClientKey, "")
	if err != nil {
		return "", err
	}
	return key, nil
}

// blank tells whether there is nothing to see in a text.
func blank(text string) bool {
	return strings.TrimFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || r == '\u115f' || r == '\u1160' || r == '\u2800' || r == '\u3164'
	}) == ""
}

// alike maps letters that carry no mark of their own in Unicode to what people type for them.
var alike = strings.NewReplacer("ø", "o", "đ", "d", "ð", "d", "ł", "l", "ħ", "h", "ı", "i", "æ", "ae", "œ", "oe", "þ", "th")

// plainMarks maps the apostrophes and dashes that word processors make to those of a keyboard.
var plainMarks = strings.NewReplacer("‘", "'", "’", "'", "ʼ", "'", "′", "'", "`", "'", "´", "'",
	"‐", "-", "‑", "-", "‒", "-", "–", "-", "—", "-", "−", "-")

// fold makes texts that a person takes for the same the same: case, accents, width and the shapes of
// apostrophes and dashes go. It is what searches compare.
func fold(text string) string {
	marks := transform.Chain(norm.NFKD, runes.Remove(runes.In(unicode.Mn)), norm.NFC)
	folded, _, err := transform.String(marks, plainMarks.Replace(text))
	if err != nil {
		folded = text
	}
	return alike.Replace(cases.Fold().String(folded))
}

// searchText is what a search for a person looks into, and what people are ordered by.
func searchText(name, email string) string { return fold(name) + "\n" + fold(email) }
