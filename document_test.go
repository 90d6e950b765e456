package main

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"corridor/internal/chat"
	"corridor/internal/pgtest"
)

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	written, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(written)
}

func TestDocumentsOfAClientsBuildAreRegisteredListedAndRemoved(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	runsWith(t, header+"ida@east.example,Ida,CSR,Desk\n", settings, "roster", "import", "-", "--clinic", "East")
	made := runs(t, settings, "key", "create", "Lab", "--service-account", "lab@partner.example", "--scopes", "contacts:read", "--documents-only")
	if made.code != 0 || !strings.HasPrefix(made.stdout, "corridor_") {
		t.Fatalf("no key: %s", made.stderr)
	}
	if got := runs(t, settings, "key", "list").stdout; !strings.Contains(got, "registered") {
		t.Errorf("it is not listed as bound: %s", got)
	}
	const who, staff, rooms = "query Who { viewer { name } }", "query Staff {\n  directory {\n    staff {\n      nodes {\n        id\n      }\n    }\n  }\n}", "query Rooms{directory{waitingRooms{nodes{name}}}}"
	uploads := func(manifest string) said {
		t.Helper()
		return runsWith(t, manifest, settings, "documents", "upload", "-", "--service-account", "lab@partner.example")
	}
	manifest := filepath.Join(t.TempDir(), "persisted-documents.json")
	if err := os.WriteFile(manifest, []byte(asJSON(t, map[string]string{sha256Of(who): who, "sha256:" + sha256Of(staff): staff})), 0o600); err != nil {
		t.Fatal(err)
	}

	if got := runs(t, settings, "documents", "upload", manifest, "--service-account", "lab@partner.example"); got.stdout != "2 documents, 2 of them new.\n" {
		t.Errorf("the upload says: %s%s", got.stdout, got.stderr)
	}
	if got := uploads(asJSON(t, map[string]any{"format": "apollo-persisted-query-manifest", "version": 1, "operations": []any{
		map[string]string{"id": sha256Of(who), "body": who, "name": "Who", "type": "query"}, map[string]string{"id": sha256Of(rooms), "body": rooms, "name": "Rooms", "type": "query"},
	}})); got.stdout != "2 documents, 1 of them new.\n" {
		t.Errorf("Apollo's says: %s%s", got.stdout, got.stderr)
	}
	listed := runs(t, settings, "documents", "list", "--service-account", "LAB@partner.example").stdout
	for _, name := range []string{"Who", "Staff", "Rooms"} {
		if !strings.Contains(listed, " "+name+" ") || strings.Count(listed, "sha256:") != 3 {
			t.Errorf("%s is not listed: %s", name, listed)
		}
	}
	if got := runs(t, settings, "documents", "remove", "sha256:"+sha256Of(who), sha256Of(rooms), "--service-account", "lab@partner.example"); got.stdout != "2 documents removed.\n" {
		t.Errorf("the removal says: %s%s", got.stdout, got.stderr)
	}
	if got := runs(t, settings, "documents", "remove", sha256Of(who), "--service-account", "lab@partner.example"); got.stdout != "0 documents removed.\n" {
		t.Errorf("the same removal says: %s%s", got.stdout, got.stderr)
	}
	if got := runs(t, settings, "documents", "list", "--service-account", "lab@partner.example").stdout; strings.Count(got, "sha256:") != 1 {
		t.Errorf("left are: %s", got)
	}
}

func TestDocumentsThatNoKeyMayRunAreNamed(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	runsWith(t, header+"ida@east.example,Ida,CSR,Desk\n", settings, "roster", "import", "-", "--clinic", "East")
	makes := func(scopes string) {
		t.Helper()
		if got := runs(t, settings, "key", "create", "Lab", "--service-account", "lab@partner.example", "--scopes", scopes); got.code != 0 {
			t.Fatal(got.stderr)
		}
	}
	const who, staff, chats = "query Who { viewer { name } }", "query Staff { directory { staff { nodes { id } } } }", "query Chats { viewer { conversations { nodes { id } } } }"
	uploads := func() said {
		t.Helper()
		manifest := asJSON(t, map[string]string{sha256Of(who): who, sha256Of(staff): staff, sha256Of(chats): chats})
		return runsWith(t, manifest, settings, "documents", "upload", "-", "--service-account", "lab@partner.example")
	}
	makes("contacts:read")

	got := uploads()

	if got.code != 0 || got.stdout != "3 documents, 3 of them new.\n" || !strings.Contains(got.stderr, "  Chats: ") || !strings.Contains(got.stderr, `Cannot query field "conversations"`) || strings.Contains(got.stderr, "Staff") {
		t.Errorf("it ended with %d: %s%s", got.code, got.stdout, got.stderr)
	}
	makes("conversations:read")
	if got := uploads(); got.stdout != "3 documents, 0 of them new.\n" || got.stderr != "" {
		t.Errorf("with a key for each it says: %s%s", got.stdout, got.stderr)
	}
	for _, row := range strings.Split(strings.TrimSpace(runs(t, settings, "key", "list").stdout), "\n")[1:] {
		runs(t, settings, "key", "revoke", strings.Fields(row)[0])
	}
	if got := uploads(); got.code != 0 || !strings.Contains(got.stderr, "corridor key create") {
		t.Errorf("without a key it says: %s%s", got.stdout, got.stderr)
	}
}

func TestABadManifestIsRefusedWithEveryBadDocument(t *testing.T) {
	t.Parallel()
	settings := []string{"DATABASE_URL=" + pgtest.New(t).URL}
	runsWith(t, header+"ida@east.example,Ida,CSR,Desk\n", settings, "roster", "import", "-", "--clinic", "East")
	runs(t, settings, "key", "create", "Lab", "--service-account", "lab@partner.example", "--scopes", "contacts:read")
	const good, other = "query Who { viewer { name } }", "query Other { viewer { name } }"
	short, shorter := sha1.Sum([]byte(good)), md5.Sum([]byte(good))
	by := func(documents ...string) map[string]string {
		manifest := map[string]string{}
		for _, document := range documents {
			manifest[sha256Of(document)] = document
		}
		return manifest
	}
	for what, test := range map[string]struct {
		manifest any
		says     []string
	}{
		"SHA-1 and MD5":     {map[string]string{hex.EncodeToString(short[:]): good, hex.EncodeToString(shorter[:]): good}, []string{"2 of 2", `hashAlgorithm: "sha256"`, `"algorithm": "SHA256"`}},
		"another text":      {map[string]string{sha256Of(good): other}, []string{sha256Of(good), "is not the SHA-256 of the text"}},
		"every bad one":     {by(good, "query A { unknown }", "query B {", "query C { viewer { clinic { partnerKeys { nodes { id } } } } }", "fragment F on Viewer { name }"), []string{"4 of 5", `Cannot query field "unknown"`, "Syntax error", `Cannot query field "partnerKeys"`, "fragment is not used"}},
		"too large":         {by("{ viewer {" + strings.Repeat(" name", 100) + "} }"), []string{"too large"}},
		"too many bytes":    {by("{ viewer { name } } #" + strings.Repeat("x", chat.MaxDocumentBytes)), []string{"at most 65536 bytes"}},
		"nothing":           {by(), []string{"no document in the file"}},
		"a list":            {[]string{good}, []string{"no manifest", "--help"}},
		"another format":    {map[string]any{"format": "apollo-persisted-query-manifest", "version": 2}, []string{"in version 2 is not known"}},
		"the same id":       {map[string]any{"format": "apollo-persisted-query-manifest", "version": 1, "operations": []any{map[string]string{"id": "a"}, map[string]string{"id": "a"}}}, []string{`"a" is there twice`}},
		"no text":           {map[string]string{sha256Of(""): ""}, []string{"1 of 1"}},
		"an Apollo of none": {map[string]any{"format": "apollo-persisted-query-manifest", "version": 1}, []string{"no document in the file"}},
	} {
		t.Run(what, func(t *testing.T) {
			got := runsWith(t, asJSON(t, test.manifest), settings, "documents", "upload", "-", "--service-account", "lab@partner.example")

			if got.code != exitFailed || got.stdout != "" {
				t.Errorf("it ended with %d: %s", got.code, got.stdout)
			}
			for _, word := range test.says {
				if !strings.Contains(got.stderr, word) {
					t.Errorf("it does not say %q: %s", word, got.stderr)
				}
			}
		})
	}
	for what, test := range map[string]struct {
		arguments []string
		code      int
		says      string
	}{
		"no such account": {[]string{"list", "--service-account", "ida@east.example"}, exitFailed, `no service account "ida@east.example"`},
		"no such clinic":  {[]string{"list", "--service-account", "lab@partner.example", "--clinic", "West"}, exitFailed, "West"},
		"no account":      {[]string{"list"}, exitUsage, "--service-account"},
		"no hash":         {[]string{"remove", "Who", "--service-account", "lab@partner.example"}, exitUsage, "documents list"},
		"no such file":    {[]string{"upload", "/no/such/file", "--service-account", "lab@partner.example"}, exitFailed, "/no/such/file"},
	} {
		if got := runs(t, settings, append([]string{"documents"}, test.arguments...)...); got.code != test.code || !strings.Contains(got.stderr, test.says) {
			t.Errorf("%s: it ended with %d: %s%s", what, got.code, got.stdout, got.stderr)
		}
	}
	if got := runs(t, settings, "documents", "list", "--service-account", "lab@partner.example").stdout; strings.Contains(got, "sha256:") {
		t.Errorf("something was registered: %s", got)
	}
}
