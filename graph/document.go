package graph

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"corridor/graph/generated"
	"corridor/internal/chat"
)

const (
	// codePersistedNotFound has clients send the text along with the hash. They know it by the message too, and expect it with
	// the status 200.
	codePersistedNotFound    = "PERSISTED_QUERY_NOT_FOUND"
	messagePersistedNotFound = "PersistedQueryNotFound"
	// codeNotRegistered is another one, for a text would not help.
	codeNotRegistered = "DOCUMENT_NOT_REGISTERED"
)

// persisted is the extension persistedQuery of Apollo's protocol, which every request has that names its document by a
// hash, when it comes to an executor.
type persisted struct {
	Version int    `json:"version"`
	Hash    string `json:"sha256Hash"`
}

// persistedExtension is its name.
const persistedExtension = "persistedQuery"

// persistedHash is the hash that a request names, empty if it names none.
func persistedHash(extensions map[string]any) string {
	extension, _ := extensions[persistedExtension].(map[string]any)
	hash, _ := extension["sha256Hash"].(string)
	return bare(hash)
}

// bare is the hash in a documentId, which may stand there by itself. GraphQL Code Generator makes these, and its users have
// Apollo's clients send them.
func bare(id string) string { return strings.TrimPrefix(id, "sha256:") }

// nameDocument finds by which hash a request names its document, and writes it down as the extension. A documentId is by the
// appendix on persisted documents of GraphQL over HTTP.
func (r *requested) nameDocument() *gqlerror.Error {
	var named persisted
	if extension := r.Extensions[persistedExtension]; extension != nil && string(extension) != "null" {
		if json.Unmarshal(extension, &named) != nil || named.Version != 1 || named.Hash == "" {
			return refusal(codeBadRequest, `The extension "persistedQuery" must have the "version" 1 and a "sha256Hash".`)
		}
	}
	named.Hash = bare(named.Hash)
	if r.Document != nil {
		hash := bare(*r.Document)
		if named.Hash != "" && named.Hash != hash {
			return refusal(codeBadRequest, `The "documentId" and the extension "persistedQuery" name different documents.`)
		}
		named = persisted{1, hash}
		extension, err := json.Marshal(named)
		if err != nil {
			panic(err) // a number and a string can always be written
		}
		if r.Extensions == nil {
			r.Extensions = map[string]json.RawMessage{}
		}
		r.Extensions[persistedExtension] = extension
	}
	switch has := r.Query != nil && *r.Query != ""; {
	case !has && named.Hash == "":
		return refusal(codeBadRequest, `The request must have a "query" or a "documentId".`)
	case has && named.Hash != "" && named.Hash != hashOf(*r.Query):
		return refusal(codeBadRequest, `The hash is not the SHA-256 of the "query".`)
	}
	return nil
}

func hashOf(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:])
}

// documents are those that may be named instead of sent, and those that need not be validated again.
type documents struct {
	chat *chat.Service
	// sent are automatic persisted queries, of a clinic and for one surface, so that an answer tells nothing of what others
	// ask. registered are those of service accounts that were used.
	sent, registered *shelves[uuid.UUID, string]
	// peoples and keys are what was found valid, by surfaces.
	peoples, keys *shelves[string, *ast.QueryDocument]
}

// The bytes of memory that documents may take: texts of one clinic or service account and of all, and those that were validated, for
// people, and for one set of scopes and all of them. Validated, our own client's take less than one megabyte.
const (
	clinicTextBytes, textBytes = 4 << 20, 64 << 20
	peoplesBytes               = 32 << 20
	scopesBytes, keysBytes     = 4 << 20, 32 << 20
)

func newDocuments(service *chat.Service) *documents {
	return &documents{
		chat: service,
		sent: newShelves[uuid.UUID, string](clinicTextBytes, textBytes), registered: newShelves[uuid.UUID, string](clinicTextBytes, textBytes),
		peoples: newShelves[string, *ast.QueryDocument](peoplesBytes, peoplesBytes), keys: newShelves[string, *ast.QueryDocument](scopesBytes, keysBytes),
	}
}

// fetching puts the document of a request that names it into its place, and refuses what a bound key must not run. It comes
// before everything that looks at the document.
type fetching struct {
	*documents
	surface string
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
} = fetching{}

func (fetching) ExtensionName() string                   { return "Documents" }
func (fetching) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters gives a request its document.
func (f fetching) MutateOperationParameters(ctx context.Context, request *graphql.RawParams) *gqlerror.Error {
	s := sessionOf(ctx)
	actor := s.known()
	hash := persistedHash(request.Extensions)
	switch {
	case actor.RunsOnlyDocuments() && request.Query != "":
		hash = hashOf(request.Query)
	case request.Query != "":
		return nil
	}
	if !actor.RunsOnlyDocuments() {
		if text, ok := f.sent.get(actor.Clinic.ID.UUID, f.surface+hash); ok {
			request.Query = text
			return nil
		}
	}
	text, ok, err := f.find(ctx, s, actor, hash)
	switch {
	case err != nil:
		return gqlerror.Wrap(err)
	case ok:
		request.Query = text
		return nil
	case actor.RunsOnlyDocuments():
		return refusal(codeNotRegistered, "This key runs only documents that are registered for its service account, and this one is not.")
	}
	return refusal(codePersistedNotFound, messagePersistedNotFound)
}

// find finds a document that is registered for the service account that is asking.
func (d *documents) find(ctx context.Context, s *session, actor chat.Actor, hash string) (text string, ok bool, err error) {
	sum, err := hex.DecodeString(hash)
	if err != nil || len(sum) != sha256.Size || actor.Grant == nil {
		return "", false, nil
	}
	if actor, err = s.now(ctx); err != nil { // on a socket what was known may be older than what was removed
		if errors.Is(err, chat.ErrSignedOut) {
			endSession(ctx, closeForbidden, "Forbidden")
		} else {
			endSession(ctx, closeTryAgain, "Try again later")
		}
		return "", false, err
	}
	name := fmt.Sprint(actor.Grant.DocumentRemovals, " ", hash)
	if text, ok = d.registered.get(actor.User.ID.UUID, name); ok {
		return text, true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, actorTime)
	defer cancel()
	if text, ok, err = d.chat.RegisteredDocument(ctx, actor, sum); ok {
		d.registered.put(actor.User.ID.UUID, name, text, len(text))
	}
	return text, ok, err
}

// keeping keeps the document of a request that came with its hash. It comes behind everything that may refuse it.
type keeping struct {
	*documents
	surface string
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = keeping{}

func (keeping) ExtensionName() string                   { return "AutomaticPersistedQueries" }
func (keeping) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext keeps the document.
func (k keeping) MutateOperationContext(ctx context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	actor := sessionOf(ctx).known()
	if hash := persistedHash(operation.Extensions); hash != "" && !actor.RunsOnlyDocuments() && hash == hashOf(operation.RawQuery) {
		k.sent.put(actor.Clinic.ID.UUID, k.surface+hash, operation.RawQuery, len(operation.RawQuery))
	}
	return nil
}

// DocumentCheck returns what judges documents before they are registered: by the limits of operations, and by the part of the
// schema that is there for keys with these scopes. It returns the name of a document's first operation.
func DocumentCheck(scopes []chat.Scope) func(document string) (name string, err error) {
	schema := audienceOf(chat.Actor{Grant: &chat.Grant{Scopes: scopes}}).part(generated.NewExecutableSchema(generated.Config{}).Schema())
	limits := &guard{Limits: DefaultLimits}
	return func(document string) (string, error) {
		if len(document) > limits.Bytes {
			return "", tooLarge("bytes", limits.Bytes)
		}
		if refused := limits.judge(document); refused != nil {
			return "", refused
		}
		read, err := parser.ParseQuery(&ast.Source{Input: document})
		if err != nil {
			return "", err
		}
		if errs := validator.ValidateWithRules(schema, read, rules.NewDefaultRules()); len(errs) > 0 {
			return "", errs[0]
		}
		if len(read.Operations) == 0 {
			return "", errors.New("there is no operation in it")
		}
		return read.Operations[0].Name, nil
	}
}
