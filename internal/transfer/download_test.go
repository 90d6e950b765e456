package transfer

import (
	"strings"
	"testing"

	"corridor/internal/chat"
)

// What could run something is neither shown in a page nor named as what it is, whatever an operator allows.
func TestWhatCouldRunIsNeverShownInAPage(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"image/svg+xml":          "application/octet-stream",
		"text/html":              "application/octet-stream",
		"application/xhtml+xml":  "application/octet-stream",
		"text/xml":               "application/octet-stream",
		"application/xml":        "application/octet-stream",
		"text/javascript":        "application/octet-stream",
		"application/javascript": "application/octet-stream",
		"application/zip":        "application/zip",
		"application/msword":     "application/msword",
		"text/csv":               "text/csv; charset=utf-16",
	} {
		mediaType, disposition := presented(&chat.Content{Name: "a.b", MediaType: given, Charset: "utf-16"})
		if mediaType != want || !strings.HasPrefix(disposition, "attachment;") {
			t.Errorf("%s is presented as %s, %s", given, mediaType, disposition)
		}
	}
}

func TestPicturesAndTextsAreShown(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"image/jpeg": "image/jpeg", "image/png": "image/png", "application/pdf": "application/pdf", "text/plain": "text/plain",
	} {
		mediaType, disposition := presented(&chat.Content{Name: "\" é.b", MediaType: given})
		if mediaType != want || disposition != `inline; filename*=utf-8''%22%20%C3%A9.b` {
			t.Errorf("%s is presented as %s, %s", given, mediaType, disposition)
		}
	}
}
