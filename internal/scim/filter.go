package scim

import (
	"strings"

	"github.com/elimity-com/scim"
	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/google/uuid"
	"github.com/scim2/filter-parser/v2"

	"corridor/graph/scalar"
	"corridor/internal/chat"
)

// idOf reads an id of a kind. What is none is the id of nothing.
func idOf(kind, text string) uuid.UUID {
	var id scalar.NodeID
	if err := id.UnmarshalGQL(text); err != nil || id.Kind != kind {
		return uuid.Nil
	}
	return id.ID
}

// filterOf is what a client looks for. The attributes are in small letters; all can only be compared by eq.
func filterOf(params scim.ListRequestParams, kind string, attributes map[string]chat.RosterAttribute) (chat.RosterFilter, error) {
	if params.FilterValidator == nil {
		return chat.RosterFilter{}, nil
	}
	expression, ok := params.FilterValidator.GetFilter().(*filter.AttributeExpression)
	if !ok || !strings.EqualFold(string(expression.Operator), string(filter.EQ)) {
		return chat.RosterFilter{}, scimerrors.ScimErrorInvalidFilter
	}
	value, ok := expression.CompareValue.(string)
	by, known := attributes[attributeName(expression.AttributePath)]
	if !ok || !known {
		return chat.RosterFilter{}, scimerrors.ScimErrorInvalidFilter
	}
	switch by {
	case chat.RosterID:
		value = idOf(kind, value).String()
	case chat.RosterEmail:
		value = strings.ToLower(value)
	}
	return chat.RosterFilter{By: by, Value: value}, nil
}

// attributeName is the name of an attribute of the core schemas in small letters, as in name.formatted.
func attributeName(path filter.AttributePath) string {
	name := path.AttributeName
	if sub := path.SubAttributeName(); sub != "" {
		name += "." + sub
	}
	if uri := path.URI(); uri != "" && !strings.HasPrefix(strings.ToLower(uri), coreSchemas) {
		name = uri + ":" + name
	}
	return strings.ToLower(name)
}

// coreSchemas is how the names of the schemas begin whose attributes need no name in front.
const coreSchemas = "urn:ietf:params:scim:schemas:core:2.0:"

func windowOf(params scim.ListRequestParams) chat.RosterWindow {
	return chat.RosterWindow{Skip: params.StartIndex - 1, Count: params.Count}
}
