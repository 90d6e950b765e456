package scim

import (
	"net/http"
	"strings"

	"github.com/elimity-com/scim"
	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/optional"
	"github.com/scim2/filter-parser/v2"

	"corridor/graph/scalar"
	"corridor/internal/chat"
)

// groups are the waiting rooms of the clinic.
type groups struct{ *handler }

var groupFilters = map[string]chat.RosterAttribute{
	"id": chat.RosterID, "displayname": chat.RosterName, "externalid": chat.RosterExternalID,
}

func roomID(text string) chat.WaitingRoomID {
	return chat.WaitingRoomID{UUID: idOf(scalar.WaitingRoom, text)}
}

func shownRoomID(id chat.WaitingRoomID) string {
	return scalar.NodeID{Kind: scalar.WaitingRoom, ID: id.UUID}.String()
}

// resource is a room as SCIM has it.
func (g groups) resource(r *http.Request, room chat.RosterRoom) scim.Resource {
	attributes := scim.ResourceAttributes{"displayName": room.Name}
	var members []any
	for _, member := range room.Members {
		id := shownID(member.ID)
		members = append(members, map[string]any{"value": id, "display": member.Name, "type": "User", "$ref": base(r) + "/Users/" + id})
	}
	if len(members) > 0 {
		attributes["members"] = members
	}
	resource := scim.Resource{ID: shownRoomID(room.ID), Attributes: attributes}
	if room.ExternalID != "" {
		resource.ExternalID = optional.NewString(room.ExternalID)
	}
	return shown(r, resource)
}

// Create makes a room, or opens one that was closed.
func (g groups) Create(r *http.Request, attributes scim.ResourceAttributes) (scim.Resource, error) {
	var change chat.RosterRoomChange
	if err := setRoom(&change, attributes); err != nil {
		return scim.Resource{}, err
	}
	id, err := g.Chat.AddRosterRoom(r.Context(), actorOf(r), change)
	if err != nil {
		return scim.Resource{}, g.answer(r, err)
	}
	return g.room(r, id)
}

// Get returns a room.
func (g groups) Get(r *http.Request, id string) (scim.Resource, error) {
	return g.room(r, roomID(id))
}

func (g groups) room(r *http.Request, id chat.WaitingRoomID) (scim.Resource, error) {
	room, err := g.Chat.RosterRoom(r.Context(), actorOf(r), id, payMembers(r))
	if err != nil {
		return scim.Resource{}, g.answer(r, err)
	}
	return g.resource(r, room), nil
}

// payMembers is nil if no members are wanted. Otherwise it lets them be read, and takes of the budget what they cost.
func payMembers(r *http.Request) func(members int) error {
	if !wants(r, "members") {
		return nil
	}
	return visitOf(r).pay
}

// payList is payMembers for a list, which shows only so many.
func payList(r *http.Request, params scim.ListRequestParams) func(members int) error {
	pay := payMembers(r)
	if pay == nil || params.FilterValidator != nil || params.Count == 1 {
		return pay
	}
	return func(members int) error {
		if members > maxMembers {
			return scimerrors.ScimError{
				Status: http.StatusBadRequest, ScimType: scimerrors.ScimTypeTooMany,
				Detail: "These rooms have too many members: ask for fewer rooms by count, or leave the members out by excludedAttributes=members.",
			}
		}
		return pay(members)
	}
}

// GetAll lists rooms.
func (g groups) GetAll(r *http.Request, params scim.ListRequestParams) (scim.Page, error) {
	filter, err := filterOf(params, scalar.WaitingRoom, groupFilters)
	if err != nil {
		return scim.Page{}, err
	}
	rooms, total, err := g.Chat.RosterRooms(r.Context(), actorOf(r), filter, windowOf(params), payList(r, params))
	if err != nil {
		return scim.Page{}, g.answer(r, err)
	}
	page := scim.Page{TotalResults: total, Resources: []scim.Resource{}}
	for _, room := range rooms {
		page.Resources = append(page.Resources, g.resource(r, room))
	}
	return page, nil
}

// Replace gives a room the name and the members that were sent. Without members there are none.
func (g groups) Replace(r *http.Request, id string, attributes scim.ResourceAttributes) (scim.Resource, error) {
	change := chat.RosterRoomChange{Members: []chat.MembersChange{{Set: true}}}
	if err := setRoom(&change, attributes); err != nil {
		return scim.Resource{}, err
	}
	if err := g.Chat.ChangeRosterRoom(r.Context(), actorOf(r), roomID(id), change); err != nil {
		return scim.Resource{}, g.answer(r, err)
	}
	return g.Get(r, id)
}

// Delete closes a room.
func (g groups) Delete(r *http.Request, id string) error {
	return g.answer(r, g.Chat.CloseRosterRoom(r.Context(), actorOf(r), roomID(id)))
}

// Patch changes the name of a room, or who is in it. A room may have thousands of members, so it is not shown: the
// answer is 204.
func (g groups) Patch(r *http.Request, id string, operations []scim.PatchOperation) (scim.Resource, error) {
	var change chat.RosterRoomChange
	for _, operation := range operations {
		if err := patchRoom(&change, operation); err != nil {
			return scim.Resource{}, err
		}
	}
	return scim.Resource{}, g.answer(r, g.Chat.ChangeRosterRoom(r.Context(), actorOf(r), roomID(id), change))
}

// setRoom takes the attributes of a room.
func setRoom(change *chat.RosterRoomChange, attributes map[string]any) error {
	for name, value := range attributes {
		if err := setRoomAttribute(change, strings.ToLower(name), value, false); err != nil {
			return err
		}
	}
	return nil
}

func setRoomAttribute(change *chat.RosterRoomChange, name string, value any, replaces bool) error {
	name = strings.TrimPrefix(name, coreSchemas+"group:")
	switch name {
	case "displayname", "externalid":
		text, ok := value.(string)
		if !ok {
			return wrongValue("The value of " + name + " is a text.")
		}
		if name == "externalid" {
			change.ExternalID = &text
		} else {
			change.Name = &text
		}
	case "members":
		members, err := membersOf(value)
		if err != nil {
			return err
		}
		change.Members = append(change.Members, chat.MembersChange{Set: replaces, Add: members})
	}
	return nil
}

// membersOf reads members. Those of nobody are the id of nothing.
func membersOf(value any) ([]chat.UserID, error) {
	if value == nil {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	members := []chat.UserID{}
	for _, item := range list {
		fields, _ := item.(map[string]any)
		id, ok := fields["value"].(string)
		if !ok {
			return nil, wrongValue("A member has a value: the id of a User.")
		}
		members = append(members, userID(id))
	}
	return members, nil
}

func patchRoom(change *chat.RosterRoomChange, operation scim.PatchOperation) error {
	replaces := operation.Op == scim.PatchOperationReplace
	if operation.Path == nil {
		attributes, _ := operation.Value.(map[string]any)
		for name, value := range attributes {
			if err := setRoomAttribute(change, strings.ToLower(name), value, replaces); err != nil {
				return err
			}
		}
		return nil
	}
	name := attributeName(operation.Path.AttributePath)
	if operation.Op != scim.PatchOperationRemove {
		if operation.Path.ValueExpression != nil {
			return scimerrors.ScimErrorInvalidPath
		}
		return setRoomAttribute(change, name, operation.Value, replaces)
	}
	switch name {
	case "displayname":
		return scimerrors.ScimErrorMutability
	case "externalid":
		nothing := ""
		change.ExternalID = &nothing
	case "members":
		return removeMembers(change, operation)
	}
	return nil
}

// removeMembers takes out those whom the path names by members[value eq "…"], or the value, or all.
func removeMembers(change *chat.RosterRoomChange, operation scim.PatchOperation) error {
	if operation.Path.SubAttribute != nil {
		return scimerrors.ScimErrorInvalidPath // nothing of a member can be changed
	}
	step := chat.MembersChange{Set: true}
	switch expression := operation.Path.ValueExpression.(type) {
	case nil:
		if operation.Value != nil {
			members, err := membersOf(operation.Value)
			if err != nil {
				return err
			}
			step = chat.MembersChange{Remove: members}
		}
	case *filter.AttributeExpression:
		id, ok := expression.CompareValue.(string)
		if !ok || !strings.EqualFold(expression.AttributePath.String(), "value") || !strings.EqualFold(string(expression.Operator), string(filter.EQ)) {
			return scimerrors.ScimErrorInvalidPath
		}
		step = chat.MembersChange{Remove: []chat.UserID{userID(id)}}
	default:
		return scimerrors.ScimErrorInvalidPath
	}
	change.Members = append(change.Members, step)
	return nil
}
