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

// users are the people of the clinic.
type users struct{ *handler }

// usualRole is the role of who is given none.
const usualRole = "Staff"

var userFilters = map[string]chat.RosterAttribute{
	"id": chat.RosterID, "username": chat.RosterEmail, "emails": chat.RosterEmail, "emails.value": chat.RosterEmail,
	"displayname": chat.RosterName, "externalid": chat.RosterExternalID,
}

func userID(text string) chat.UserID { return chat.UserID{UUID: idOf(scalar.User, text)} }

func shownID(id chat.UserID) string { return scalar.NodeID{Kind: scalar.User, ID: id.UUID}.String() }

// resource is a person as SCIM has them.
func (u users) resource(r *http.Request, person chat.RosterPerson) scim.Resource {
	given, family := splitName(person.Name)
	attributes := scim.ResourceAttributes{
		"userName": person.Email, "displayName": person.Name, "title": person.RoleLabel, "active": person.IsActive(),
		"name":   map[string]any{"formatted": person.Name, "givenName": given, "familyName": family},
		"emails": []any{map[string]any{"value": person.Email, "type": "work", "primary": true}},
	}
	var in []any
	for _, room := range person.WaitingRooms {
		id := shownRoomID(room.ID)
		in = append(in, map[string]any{"value": id, "display": room.Name, "type": "direct", "$ref": base(r) + "/Groups/" + id})
	}
	if len(in) > 0 {
		attributes["groups"] = in
	}
	resource := scim.Resource{ID: shownID(person.ID), Attributes: attributes, Meta: scim.Meta{Created: &person.CreatedAt}}
	if person.ExternalID != "" {
		resource.ExternalID = optional.NewString(person.ExternalID)
	}
	return shown(r, resource)
}

// splitName cuts a name into those of a person and their family: the last word.
func splitName(name string) (given, family string) {
	at := strings.LastIndex(name, " ")
	if at < 0 {
		return "", name
	}
	return name[:at], name[at+1:]
}

func (u users) answered(r *http.Request, person chat.RosterPerson, err error) (scim.Resource, error) {
	if err != nil {
		return scim.Resource{}, u.answer(r, err)
	}
	return u.resource(r, person), nil
}

// Create adds a person.
func (u users) Create(r *http.Request, attributes scim.ResourceAttributes) (scim.Resource, error) {
	given := personGiven{}
	if err := given.setAll("", attributes); err != nil {
		return scim.Resource{}, err
	}
	change := given.change("")
	if change.Role == nil {
		role := usualRole
		change.Role = &role
	}
	if change.Name == nil { // who has no name is shown by their address
		change.Name = change.Email
	}
	person, err := u.Chat.AddRosterPerson(r.Context(), actorOf(r), change)
	return u.answered(r, person, err)
}

// Get returns a person.
func (u users) Get(r *http.Request, id string) (scim.Resource, error) {
	person, err := u.Chat.RosterPerson(r.Context(), actorOf(r), userID(id))
	return u.answered(r, person, err)
}

// GetAll lists people.
func (u users) GetAll(r *http.Request, params scim.ListRequestParams) (scim.Page, error) {
	filter, err := filterOf(params, scalar.User, userFilters)
	if err != nil {
		return scim.Page{}, err
	}
	people, total, err := u.Chat.RosterPeople(r.Context(), actorOf(r), filter, windowOf(params))
	if err != nil {
		return scim.Page{}, u.answer(r, err)
	}
	page := scim.Page{TotalResults: total, Resources: []scim.Resource{}}
	for _, person := range people {
		page.Resources = append(page.Resources, u.resource(r, person))
	}
	return page, nil
}

// Replace gives a person what was sent. What was not sent stays as it is.
func (u users) Replace(r *http.Request, id string, attributes scim.ResourceAttributes) (scim.Resource, error) {
	given := personGiven{}
	if err := given.setAll("", attributes); err != nil {
		return scim.Resource{}, err
	}
	return u.changed(r, id, given)
}

// Delete deactivates a person and does not tell of them any more.
func (u users) Delete(r *http.Request, id string) error {
	return u.answer(r, u.Chat.RemoveRosterPerson(r.Context(), actorOf(r), userID(id)))
}

// Patch changes some of what a person is.
func (u users) Patch(r *http.Request, id string, operations []scim.PatchOperation) (scim.Resource, error) {
	given := personGiven{}
	for _, operation := range operations {
		var err error
		switch {
		case operation.Op == scim.PatchOperationRemove:
			err = given.remove(attributeName(operation.Path.AttributePath))
		case operation.Path == nil:
			attributes, _ := operation.Value.(map[string]any)
			err = given.setAll("", attributes)
		default:
			err = given.set(pathName(operation.Path), operation.Value)
		}
		if err != nil {
			return scim.Resource{}, err
		}
	}
	return u.changed(r, id, given)
}

// pathName is the name of what a path leads to: of roles[primary eq true].value it is roles.value.
func pathName(path *filter.Path) string {
	name := attributeName(path.AttributePath)
	if path.SubAttribute != nil {
		name += "." + strings.ToLower(*path.SubAttribute)
	}
	return name
}

func (u users) changed(r *http.Request, id string, given personGiven) (scim.Resource, error) {
	person, err := u.Chat.RosterPerson(r.Context(), actorOf(r), userID(id))
	if err == nil {
		person, err = u.Chat.ChangeRosterPerson(r.Context(), actorOf(r), userID(id), given.change(person.Name))
	}
	return u.answered(r, person, err)
}

// personGiven is what a client says of a person. Other attributes than these are not kept.
type personGiven struct {
	userName, externalID                  *string
	display, formatted, givenName, family *string
	title, role                           *string
	active                                *bool
}

func (p *personGiven) setAll(prefix string, attributes map[string]any) error {
	for name, value := range attributes {
		if err := p.set(prefix+strings.ToLower(name), value); err != nil {
			return err
		}
	}
	return nil
}

// set takes the value of an attribute, whose name is in small letters.
func (p *personGiven) set(name string, value any) error {
	name = strings.TrimPrefix(name, coreSchemas+"user:")
	texts := map[string]**string{
		"username": &p.userName, "externalid": &p.externalID, "displayname": &p.display, "name.formatted": &p.formatted,
		"name.givenname": &p.givenName, "name.familyname": &p.family, "title": &p.title, "roles.value": &p.role,
	}
	if to := texts[name]; to != nil {
		text, ok := value.(string)
		if !ok {
			return wrongValue("The value of " + name + " is a text.")
		}
		*to = &text
		return nil
	}
	switch name {
	case "name":
		parts, _ := value.(map[string]any)
		return p.setAll("name.", parts)
	case "active":
		active, ok := value.(bool)
		if !ok {
			return wrongValue("The value of active is true or false.")
		}
		p.active = &active
	case "roles":
		p.role = mainValue(value)
	}
	return nil
}

// mainValue is that of the primary of several values, or of the first.
func mainValue(values any) (main *string) {
	list, ok := values.([]any)
	if !ok {
		list = []any{values}
	}
	for _, item := range list {
		fields, _ := item.(map[string]any)
		text, ok := fields["value"].(string)
		if primary, _ := fields["primary"].(bool); ok && (main == nil || primary) {
			main = &text
		}
	}
	return main
}

// remove takes an attribute away.
func (p *personGiven) remove(name string) error {
	nothing, usual := "", usualRole
	switch name {
	case "username":
		return scimerrors.ScimErrorMutability
	case "externalid":
		p.externalID = &nothing
	case "title", "roles":
		p.title = &usual
	}
	return nil
}

// change is what it comes to for somebody who has a name, or none yet.
func (p *personGiven) change(name string) chat.RosterPersonChange {
	change := chat.RosterPersonChange{Email: p.userName, ExternalID: p.externalID, Active: p.active}
	change.Role = firstOf(p.title, p.role)
	given, family := splitName(name)
	parts := strings.TrimSpace(or(p.givenName, given) + " " + or(p.family, family))
	if p.givenName == nil && p.family == nil {
		parts = ""
	}
	change.Name = firstOf(p.display, p.formatted, &parts)
	return change
}

// firstOf is the first text that there is.
func firstOf(texts ...*string) *string {
	for _, text := range texts {
		if text != nil && strings.TrimSpace(*text) != "" {
			return text
		}
	}
	return nil
}

func or(given *string, there string) string {
	if given != nil {
		return *given
	}
	return there
}
