package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"corridor/graph"
	"corridor/internal/chat"
)

type documentCommands struct {
	Upload documentUpload `cmd:"" help:"Register the documents that a client's build wrote down."`
	List   documentList   `cmd:"" help:"Show what is registered."`
	Remove documentRemove `cmd:"" help:"Register documents no longer. No request can run them from then on, and what is open by them ends within five seconds."`
}

// documentOwner says for which service account a command is.
type documentOwner struct {
	ServiceAccount string `required:"" placeholder:"EMAIL" help:"For which service account: its e-mail address."`

	clinicSetting
	databaseSettings
}

func (o *documentOwner) operate(streams streams, do func(ctx context.Context, service *chat.Service, operator chat.Actor, account chat.UserID) error) error {
	return o.clinicSetting.operate(&o.databaseSettings, streams, func(ctx context.Context, service *chat.Service, operator chat.Actor) error {
		account, err := findServiceAccount(ctx, service, operator, o.ServiceAccount)
		switch {
		case err != nil:
			return flagged(err)
		case !account.IsActive():
			return isGone(account)
		}
		return do(ctx, service, operator, account.ID)
	})
}

type documentUpload struct {
	File string `arg:"" help:"The manifest; - is standard input."`

	documentOwner
}

// Help tells of the file.
func (*documentUpload) Help() string {
	return fmt.Sprintf(`The file is what a client's build writes down, in one of these forms:

  persisted-documents.json of GraphQL Code Generator, with hashAlgorithm: "sha256"
  persisted-query-manifest.json of Apollo's generate-persisted-query-manifest
  the file of Relay's persistConfig, with "algorithm": "SHA256"

The id of a document must be the SHA-256 of its text. A document has up to %d kB and keeps to the limits that all operations have; it must fit
what of the schema is there for partners. All or nothing: each bad one is named. What is registered already stays, so that clients of earlier builds
go on; an account has up to %d documents.`, chat.MaxDocumentBytes>>10, chat.MaxDocuments)
}

// Run registers documents.
func (c *documentUpload) Run(streams streams) error {
	manifest, err := c.read(streams.stdin)
	if err != nil {
		return err
	}
	documents, err := readManifest(manifest)
	if err != nil {
		return err
	}
	return c.operate(streams, func(ctx context.Context, service *chat.Service, operator chat.Actor, account chat.UserID) error {
		added, err := service.RegisterDocuments(ctx, operator, account, documents)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(streams.stdout, "%s, %d of them new.\n", counted(len(documents)), added); err != nil {
			return err
		}
		scopes, err := service.KeyScopes(ctx, operator, account)
		if err == nil {
			warnOfScopes(streams.stderr, documents, scopes)
		}
		return err
	})
}

// warnOfScopes names the documents that none of the account's keys can run.
func warnOfScopes(to io.Writer, documents []chat.NewDocument, ofKeys [][]chat.Scope) {
	if len(ofKeys) == 0 {
		fmt.Fprintln(to, "corridor: these are registered, but the account has no key that can be used: make one with corridor key create")
		return
	}
	var useless []string
	checks := make([]func(string) (string, error), len(ofKeys))
	for i, scopes := range ofKeys {
		checks[i] = graph.DocumentCheck(scopes)
	}
	for _, document := range documents {
		var outside error
		for _, check := range checks {
			if _, outside = check(document.Text); outside == nil {
				break
			}
		}
		if outside != nil {
			useless = append(useless, fmt.Sprintf("%s: %s", cmp.Or(document.Name, "one without a name"), firstWords(outside)))
		}
	}
	if len(useless) > 0 {
		fmt.Fprintf(to, "corridor: these are registered, but no single key of the account has the scopes for all that they ask:\n  %s%s\n",
			strings.Join(useless[:min(len(useless), listed)], "\n  "), andMore(useless))
	}
}

// andMore tells of lines that are not listed.
func andMore(lines []string) string {
	if left := len(lines) - listed; left > 0 {
		return fmt.Sprintf("\n  and %d more", left)
	}
	return ""
}

// manifestLimit is above what all documents of an account may have.
const manifestLimit = 2 * chat.MaxDocuments * chat.MaxDocumentBytes

func (c *documentUpload) read(stdin io.Reader) ([]byte, error) {
	from := stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	manifest, err := io.ReadAll(io.LimitReader(from, manifestLimit+1))
	if err == nil && len(manifest) > manifestLimit {
		err = errors.New("the file is too large for a manifest")
	}
	return manifest, err
}

// readManifest reads what the build of a client wrote down, and refuses it with everything that is wrong with it.
func readManifest(manifest []byte) ([]chat.NewDocument, error) {
	texts, err := textsOf(manifest)
	if err != nil {
		return nil, err
	}
	if len(texts) == 0 {
		return nil, errors.New("there is no document in the file")
	}
	check := graph.DocumentCheck(chat.Scopes)
	documents := make([]chat.NewDocument, 0, len(texts))
	var bad []string
	for _, id := range slices.Sorted(maps.Keys(texts)) {
		text := texts[id]
		name, err := check(text)
		if refused := checkDocumentID(id, text); refused != nil {
			err = refused
		}
		if err != nil {
			bad = append(bad, fmt.Sprintf("%s: %s", id, firstWords(err)))
			continue
		}
		documents = append(documents, chat.NewDocument{Name: name, Text: text})
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("%d of %d documents can't be registered, so none was:\n  %s%s", len(bad), len(texts), strings.Join(bad[:min(len(bad), listed)], "\n  "), andMore(bad))
	}
	return documents, nil
}

// textsOf are the documents of a manifest by their ids.
func textsOf(manifest []byte) (map[string]string, error) {
	var apollo struct {
		Format     string
		Version    int
		Operations []struct{ ID, Body string }
	}
	if json.Unmarshal(manifest, &apollo) == nil && apollo.Format != "" {
		if apollo.Format != "apollo-persisted-query-manifest" || apollo.Version != 1 {
			return nil, fmt.Errorf("the format %q in version %d is not known: see corridor documents upload --help", apollo.Format, apollo.Version)
		}
		texts := map[string]string{}
		for _, operation := range apollo.Operations {
			if _, twice := texts[operation.ID]; twice {
				return nil, fmt.Errorf("the id %q is there twice", operation.ID)
			}
			texts[operation.ID] = operation.Body
		}
		return texts, nil
	}
	var texts map[string]string
	if err := json.Unmarshal(manifest, &texts); err != nil {
		return nil, errors.New("the file is no manifest, a JSON object of documents by their hashes: see corridor documents upload --help")
	}
	return texts, nil
}

// checkDocumentID refuses an id that is not the SHA-256 of the document, by which clients name it here.
func checkDocumentID(id, text string) error {
	sum := sha256.Sum256([]byte(text))
	hash, want := strings.TrimPrefix(id, "sha256:"), hex.EncodeToString(sum[:])
	switch {
	case hash == want:
		return nil
	case len(hash) == 2*sha256.Size:
		return errors.New("the id is not the SHA-256 of the text: build the client anew, and leave the file as it is written")
	}
	return errors.New(`the id must be the SHA-256 of the text: set hashAlgorithm: "sha256" for GraphQL Code Generator, ` +
		`"algorithm": "SHA256" in Relay's persistConfig, or leave createOperationId away for Apollo`)
}

// firstWords is an error in one line.
func firstWords(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimPrefix(line, "input: ")
}

func counted(documents int) string {
	if documents == 1 {
		return "1 document"
	}
	return fmt.Sprint(documents, " documents")
}

type documentList struct {
	documentOwner
}

// Run lists documents.
func (c *documentList) Run(streams streams) error {
	return c.operate(streams, func(ctx context.Context, service *chat.Service, operator chat.Actor, account chat.UserID) error {
		documents, err := service.Documents(ctx, operator, account)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(streams.stdout, 0, 0, 2, ' ', 0)
		defer table.Flush()
		fmt.Fprintln(table, "ID\tNAME\tBYTES\tREGISTERED")
		for _, document := range documents {
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", document.ID(), document.Name, document.Bytes, document.CreatedAt.UTC().Format(time.DateOnly))
		}
		return nil
	})
}

type documentRemove struct {
	IDs []string `arg:"" name:"id" help:"Which: the hashes, as sha256:… or bare."`

	documentOwner
}

// Run removes documents.
func (c *documentRemove) Run(streams streams) error {
	hashes := make([][]byte, len(c.IDs))
	for i, id := range c.IDs {
		hash, err := hex.DecodeString(strings.TrimPrefix(id, "sha256:"))
		if err != nil || len(hash) != sha256.Size {
			return wrong("%q is no hash of a document: `corridor documents list` shows them", id)
		}
		hashes[i] = hash
	}
	return c.operate(streams, func(ctx context.Context, service *chat.Service, operator chat.Actor, account chat.UserID) error {
		removed, err := service.RemoveDocuments(ctx, operator, account, hashes)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(streams.stdout, "%s removed.\n", counted(removed))
		return err
	})
}
