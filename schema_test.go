package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnybodyGetsTheSchema asks a server that has just begun to start, for nobody.
func TestAnybodyGetsTheSchema(t *testing.T) {
	t.Parallel()
	written, err := os.ReadFile("schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	handler := (&server{}).routes()
	asks := func(method, path string, headers ...string) *httptest.ResponseRecorder {
		request := httptest.NewRequest(method, path, nil)
		request.Header.Set("Origin", "https://tools.example")
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer
	}
	for path, mediaType := range map[string]string{"/schema.graphqls": "text/plain; charset=utf-8", "/schema.json": "application/json"} {
		got := asks(http.MethodGet, path)

		if got.Code != http.StatusOK || got.Header().Get("Content-Type") != mediaType || got.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s is answered with %d %v", path, got.Code, got.Header())
		}
		if path == "/schema.graphqls" && got.Body.String() != string(written) {
			t.Errorf("%s is not schema.graphqls: make gen", path)
		}
		if head := asks(http.MethodHead, path); head.Code != http.StatusOK || head.Body.Len() != 0 || head.Header().Get("Content-Length") != got.Header().Get("Content-Length") {
			t.Errorf("HEAD %s is answered with %d %v", path, head.Code, head.Header())
		}
		if again := asks(http.MethodGet, path, "If-None-Match", got.Header().Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("who has %s gets it again: %d %v", path, again.Code, again.Header())
		}
		if packed := asks(http.MethodGet, path, "Accept-Encoding", "gzip"); packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len() > got.Body.Len()/3 {
			t.Errorf("%s is not packed: %v", path, packed.Header())
		}
		if posted := asks(http.MethodPost, path); posted.Code != http.StatusMethodNotAllowed || posted.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s is answered with %d %v", path, posted.Code, posted.Header())
		}
	}
}

// TestTheSchemaIsTheSameWhereverOneGetsIt compares what the program prints with what is served, and one form with the other.
func TestTheSchemaIsTheSameWhereverOneGetsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, arguments := range map[string][]string{"/schema.graphqls": {"schema"}, "/schema.json": {"schema", "--json"}} {
		printed := runs(t, nil, arguments...)
		if printed.code != 0 || printed.stderr != "" {
			t.Fatalf("%v ended with %d: %s", arguments, printed.code, printed.stderr)
		}
		served := httptest.NewRecorder()
		(&server{}).routes().ServeHTTP(served, httptest.NewRequest(http.MethodGet, path, nil))
		if printed.stdout != served.Body.String() {
			t.Errorf("corridor %s does not print what is at %s", strings.Join(arguments, " "), path)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), []byte(printed.stdout), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var introspection struct {
		Data struct {
			Schema struct {
				Types      []struct{ Name string }
				Directives []struct{ Name string }
			} `json:"__schema"`
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "schema.json"))
	if err == nil {
		err = json.Unmarshal(text, &introspection)
	}
	if err != nil || len(introspection.Data.Schema.Types) < 50 {
		t.Fatalf("it has %d types: %v", len(introspection.Data.Schema.Types), err)
	}
	for _, directive := range introspection.Data.Schema.Directives {
		if directive.Name == "defer" {
			t.Error("it offers @defer, which is refused")
		}
	}

	needsClients(t)
	differ, err := exec.CommandContext(t.Context(), "node", "tools/clients/schema.mjs", filepath.Join(dir, "schema.json"), filepath.Join(dir, "schema.graphqls")).CombinedOutput()
	if err != nil || len(differ) > 0 {
		t.Errorf("by graphql-js the introspection is not what the schema says: %s %v", differ, err)
	}
}
