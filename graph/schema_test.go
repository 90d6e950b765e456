package graph_test

import (
	"os"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

func readSchema(t *testing.T) (*ast.Schema, string) {
	t.Helper()
	text, err := os.ReadFile("../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	return schema, string(text)
}

func ours(schema *ast.Schema) (types []*ast.Definition) {
	for _, definition := range schema.Types {
		if !definition.BuiltIn && !strings.HasPrefix(definition.Name, "__") {
			types = append(types, definition)
		}
	}
	return types
}

func TestEverythingInTheSchemaIsDescribed(t *testing.T) {
	t.Parallel()
	schema, _ := readSchema(t)
	for _, definition := range ours(schema) {
		if definition.Description == "" {
			t.Errorf("%s has no description", definition.Name)
		}
		for _, field := range definition.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			if field.Description == "" {
				t.Errorf("%s.%s has no description", definition.Name, field.Name)
			}
			for _, argument := range field.Arguments {
				if argument.Description == "" {
					t.Errorf("%s.%s(%s:) has no description", definition.Name, field.Name, argument.Name)
				}
			}
		}
		for _, value := range definition.EnumValues {
			if value.Description == "" {
				t.Errorf("%s.%s has no description", definition.Name, value.Name)
			}
		}
		if definition.Kind == ast.Enum && definition.Name != "RevealedHistory" && !strings.Contains(definition.Description, "ore values may come") {
			t.Errorf("%s does not say that it is open", definition.Name)
		}
	}
}

func TestEveryMutationHasItsInputKeyAndPayload(t *testing.T) {
	t.Parallel()
	schema, _ := readSchema(t)
	for _, field := range schema.Mutation.Fields {
		name := strings.ToUpper(field.Name[:1]) + field.Name[1:]
		if len(field.Arguments) != 1 || field.Arguments[0].Name != "input" || field.Arguments[0].Type.String() != name+"Input!" || field.Type.String() != name+"Payload!" {
			t.Errorf("%s is not %s(input: %sInput!): %sPayload!", field.Name, field.Name, name, name)
			continue
		}
		if key := schema.Types[name+"Input"].Fields.ForName("clientKey"); key == nil || key.Type.String() != "String!" {
			t.Errorf("%s has no client key", field.Name)
		}
		if failures := schema.Types[name+"Payload"].Fields.ForName("userErrors"); failures == nil || failures.Type.String() != "[UserError!]!" {
			t.Errorf("%s has no user errors", field.Name)
		}
	}
}

func TestEveryListIsAConnection(t *testing.T) {
	t.Parallel()
	schema, _ := readSchema(t)
	// Lists as long as what the caller sent, paths, and what has a small limit of its own.
	bounded := map[string]bool{
		"Query.nodes": true, "AddParticipantsPayload.outcomes": true, "UserError.field": true, "Message.files": true, "Clinic.fileMediaTypes": true,
		"PartnerKey.scopes": true, "PartnerKey.networks": true, "SyncRosterPayload.outcomes": true, "AddRosterRowsPayload.outcomes": true,
		"Webhook.eventTypes": true,
	}
	for _, definition := range ours(schema) {
		if definition.Kind != ast.Object || strings.HasSuffix(definition.Name, "Connection") {
			continue
		}
		for _, field := range definition.Fields {
			if field.Type.Elem != nil && field.Name != "userErrors" && !bounded[definition.Name+"."+field.Name] && !strings.HasPrefix(field.Name, "__") {
				t.Errorf("%s.%s is a list and no connection", definition.Name, field.Name)
			}
		}
	}
}

func TestS7OneTypeForContactListAndAddressBook(t *testing.T) {
	t.Parallel()
	schema, text := readSchema(t)
	if !strings.Contains(schema.Types["Contact"].Description, "address book") {
		t.Error("Contact does not say that it is the address book's entry too")
	}
	if strings.Contains(text, "AddressBook") || strings.Contains(text, "addressBook") {
		t.Error("there are two names for one thing")
	}
}

func TestS8MutationsStandInTheOrderOfTheHelpPage(t *testing.T) {
	t.Parallel()
	_, text := readSchema(t)
	at := 0
	for _, heading := range []string{
		"type Mutation {", "# Starting and continuing", "startDirectConversation(", "sendMessage(", "# Participants", "addParticipants(", "removeParticipant(",
		"# Chat options", "muteConversation(", "archiveConversation(", "leaveGroup(", "deleteGroup(",
	} {
		found := strings.Index(text[at:], heading)
		if found < 0 {
			t.Fatalf("%s is out of place", heading)
		}
		at += found
	}
}
