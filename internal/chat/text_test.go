package chat

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestWhatPeopleTakeForTheSameIsFoldedToTheSame(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"JOSÉ", "josé", "jose\u0301", "Jose"},
		{"Straße", "STRASSE", "strasse"},
		{"Łódź", "lodz"},
		{"Øre", "ore"},
		{"Ａｎｎ", "ann"},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", "ΣΙΣΥΦΟΣ"},
		{"İstanbul", "istanbul"},
		{"ﬁlm", "film"},
		{"O’Brien", "o'brien", "O‘Brien", "Oʼbrien", "O´Brien"},
		{"Anne–Marie", "anne-marie", "Anne‑Marie", "Anne—Marie"},
	} {
		for _, text := range same {
			if got, want := fold(text), fold(same[0]); got != want {
				t.Errorf("%q is folded to %q, %q to %q", text, got, same[0], want)
			}
		}
	}
	if fold("李") == fold("王") || fold("a") == fold("b") {
		t.Error("different letters are the same")
	}
}

// FuzzText holds what every text that passed is, whatever was sent.
func FuzzText(f *testing.F) {
	for _, text := range []string{"hello", "e\u0301", "\x00", "\xff\xfe", strings.Repeat("\u0958", 9_999), "\u202e", "a\r\nb"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		body, err := validBody(text, false)
		if err != nil {
			return
		}
		if !utf8.ValidString(body) || !norm.NFC.IsNormalString(body) || strings.ContainsAny(body, "\x00\x1b\r") || blank(body) ||
			utf8.RuneCountInString(body) > MaxMessage {
			t.Errorf("%q passed as %q", text, body)
		}
		if again, err := validBody(body, false); err != nil || again != body {
			t.Errorf("%q does not pass again: %q, %v", body, again, err)
		}
		fold(text)
	})
}

func FuzzCursorOfAList(f *testing.F) {
	f.Add(Cursor([]string{"ann\nann@x.example", "0192f3a4-0000-7000-8000-000000000000"}), 2)
	f.Add("", 3)
	f.Fuzz(func(t *testing.T, cursor string, n int) {
		if n < 1 || n > 4 {
			return
		}
		at, err := readCursor("after", cursor, n)
		if err == nil && at != nil && len(at) != n {
			t.Errorf("%q is read as %v", cursor, at)
		}
		_, _ = NewWindow(ConversationID{}, nil, nil, cursor, cursor)
	})
}
