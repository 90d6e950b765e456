package scim

import (
	"fmt"
	"strings"
	"testing"
)

// step is a request of a public validator, and what it asks of the answer.
type step struct {
	what   string
	method string
	path   string
	body   string
	status int
	want   string // as in userName=ann@x.example; active=true
	keep   string // the name under which the id is kept
}

// plays sends the steps one after another. {name} stands for an id that was kept.
func (d *directory) plays(steps []step) {
	d.t.Helper()
	ids := map[string]string{"base": host + Path}
	for _, s := range steps {
		for name, id := range ids {
			s.path, s.body = strings.ReplaceAll(s.path, "{"+name+"}", id), strings.ReplaceAll(s.body, "{"+name+"}", id)
			s.want = strings.ReplaceAll(s.want, "{"+name+"}", id)
		}
		got := d.sends(s.method, s.path, s.body)
		if got.status != s.status {
			d.t.Fatalf("%s: %s %s is answered %d %s, want %d", s.what, s.method, s.path, got.status, got.text, s.status)
		}
		if kind := got.header.Get("Content-Type"); got.text != "" && kind != "application/scim+json" {
			d.t.Errorf("%s: the answer is of the type %s", s.what, kind)
		}
		if s.status >= 400 {
			if got.at("schemas/0") != "urn:ietf:params:scim:api:messages:2.0:Error" || got.at("status") != fmt.Sprint(s.status) {
				d.t.Errorf("%s: the error is no error of SCIM: %s", s.what, got.text)
			}
		}
		for _, pair := range strings.Split(s.want, "; ") {
			path, want, asked := strings.Cut(pair, "=")
			if asked && got.at(path) != want {
				d.t.Errorf("%s: %s is %s, want %s, in %s", s.what, path, got.at(path), want, got.text)
			}
		}
		if s.keep != "" {
			if ids[s.keep] = got.at("id"); ids[s.keep] == "nothing" {
				d.t.Fatalf("%s: there is no id in %s", s.what, got.text)
			}
		}
	}
}

const (
	listOf  = "schemas/0=urn:ietf:params:scim:api:messages:2.0:ListResponse"
	patchOp = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`
	user    = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]`
	group   = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]`
)

// TestOktasSpecTest sends the requests of Okta's "SCIM 2.0 SPEC Test" (Okta-SCIM-20-SPEC-Test.json, for Runscope, at
// developer.okta.com, "Test your SCIM API") and of its reference (developer.okta.com/docs/api/openapi/okta-scim), in that order.
func TestOktasSpecTest(t *testing.T) {
	t.Parallel()
	newWorld(t).clinic("Clinic").plays([]step{
		{
			what: "Users endpoint", method: "GET", path: "/Users?count=1&startIndex=1", status: 200,
			want: listOf + "; totalResults=2; itemsPerPage=1; startIndex=1; Resources=1 of them; Resources/0/userName=ann@x.example; Resources/0/active=true; " +
				"Resources/0/name/familyName=Lee; Resources/0/name/givenName=Ann; Resources/0/emails/0/value=ann@x.example",
		},
		{what: "an invalid user by name", method: "GET", path: `/Users?filter=userName eq "nobody@x.example"`, status: 200, want: listOf + "; totalResults=0; Resources=0 of them"},
		{what: "an invalid user by id", method: "GET", path: "/Users/010101001010101011001010101011", status: 404},
		{
			what: "create a user", method: "POST", path: "/Users", status: 201, keep: "user",
			body: `{` + user + `,"userName":"Runscope300@x.example","name":{"givenName":"Runscope","familyName":"User300"},"emails":[{"primary":true,"value":"runscope300@x.example","type":"work"}],` +
				`"displayName":"Runscope User300","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","groups":[],"password":"1mz050nq","active":true}`,
			want: "active=true; name/familyName=User300; name/givenName=Runscope; schemas/0=urn:ietf:params:scim:schemas:core:2.0:User; userName=runscope300@x.example; " +
				"displayName=Runscope User300; externalId=00ujl29u0le5T6Aj10h7; meta/resourceType=User; password=nothing",
		},
		{what: "the user was created", method: "GET", path: "/Users/{user}", status: 200, want: "userName=runscope300@x.example; id={user}"},
		{
			what: "the same user again", method: "POST", path: "/Users", status: 409, want: "scimType=uniqueness",
			body: `{` + user + `,"userName":"Runscope300@x.example","name":{"givenName":"Runscope","familyName":"User300"},"emails":[{"primary":true,"value":"runscope300@x.example","type":"work"}],"active":true}`,
		},
		{what: "names whatever the case", method: "GET", path: `/Users?filter=userName eq "RUNSCOPE300@X.EXAMPLE"&startIndex=1&count=100`, status: 200, want: "totalResults=1; Resources/0/id={user}"},
		{
			what: "update by PUT", method: "PUT", path: "/Users/{user}", status: 200, want: "name/familyName=McJanky; displayName=Another McJanky; active=true; userName=runscope300@x.example",
			body: `{` + user + `,"id":"{user}","userName":"runscope300@x.example","name":{"givenName":"Another","middleName":"","familyName":"McJanky"},"emails":[{"primary":true,"value":"runscope300@x.example","type":"work","display":"x"}],"active":true,"groups":[],"meta":{"resourceType":"User"}}`,
		},
		{what: "deactivate by PATCH", method: "PATCH", path: "/Users/{user}", body: patchOp + `{"op":"replace","value":{"active":false}}]}`, status: 200, want: "active=false; id={user}"},
		{what: "reactivate by PATCH", method: "PATCH", path: "/Users/{user}", body: patchOp + `{"op":"replace","value":{"active":true}}]}`, status: 200, want: "active=true"},
		{what: "Groups endpoint", method: "GET", path: "/Groups?startIndex=1&count=100", status: 200, want: listOf + "; totalResults=1; Resources/0/displayName=Desk; Resources/0/members=2 of them"},
		{what: "create a group", method: "POST", path: "/Groups", body: `{` + group + `,"displayName":"Test SCIMv2","members":[]}`, status: 201, want: "displayName=Test SCIMv2; meta/resourceType=Group", keep: "group"},
		{
			what: "members and a name, without paths", method: "PATCH", path: "/Groups/{group}", status: 204,
			body: patchOp + `{"op":"replace","value":{"id":"{group}","displayName":"Test SCIMv2 renamed"}}]}`,
		},
		{
			what: "members out and in", method: "PATCH", path: "/Groups/{group}", status: 204,
			body: patchOp + `{"op":"remove","path":"members[value eq \"{user}\"]"},{"op":"add","path":"members","value":[{"value":"{user}","display":"runscope300@x.example"}]}]}`,
		},
		{what: "the group", method: "GET", path: "/Groups/{group}", status: 200, want: "displayName=Test SCIMv2 renamed; members=1 of them; members/0/value={user}; members/0/display=Another McJanky"},
		{what: "the user's groups", method: "GET", path: "/Users/{user}", status: 200, want: "groups/0/value={group}; groups/0/display=Test SCIMv2 renamed"},
		{what: "replace the members", method: "PATCH", path: "/Groups/{group}", body: patchOp + `{"op":"replace","path":"members","value":[]}]}`, status: 204},
		{what: "the group is empty", method: "GET", path: "/Groups/{group}", status: 200, want: "members=nothing"},
		{what: "delete the group", method: "DELETE", path: "/Groups/{group}", status: 204},
		{what: "it is gone", method: "GET", path: "/Groups/{group}", status: 404},
	})
}

// TestEntrasRequests sends the requests of Microsoft's "Tutorial: Develop and plan provisioning for a SCIM endpoint"
// (learn.microsoft.com/entra/identity/app-provisioning/use-scim-to-provision-users-and-groups), which its SCIM Validator
// (scimvalidator.microsoft.com) and github.com/AzureAD/SCIMReferenceCode send too.
func TestEntrasRequests(t *testing.T) {
	t.Parallel()
	newWorld(t).clinic("Clinic").plays([]step{
		{what: "the test of the connection", method: "GET", path: `/Users?filter=userName eq "5a2ffbd6-5bd2-4c8e-a43f-1a3f8a2f2a2a"`, status: 200, want: "totalResults=0; Resources=0 of them"},
		{
			what: "create a user", method: "POST", path: "/Users", status: 201, keep: "user",
			body: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",` +
				`"userName":"Test_User_ab6490ee@testuser.com","active":true,"emails":[{"primary":true,"type":"work","value":"Test_User_fd0ea19b@testuser.com"}],"meta":{"resourceType":"User"},` +
				`"name":{"formatted":"givenName familyName","familyName":"familyName","givenName":"givenName"},"title":"Physician","roles":[],` +
				`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Radiology","employeeNumber":"7"}}`,
			want: "externalId=0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef; userName=test_user_ab6490ee@testuser.com; active=true; name/familyName=familyName; name/givenName=givenName; title=Physician",
		},
		{what: "by its id", method: "GET", path: "/Users/{user}", status: 200, want: "id={user}; meta/location={base}/Users/{user}"},
		{what: "by its name", method: "GET", path: `/Users?filter=userName eq "Test_User_ab6490ee@testuser.com"`, status: 200, want: "totalResults=1; Resources/0/id={user}"},
		{what: "by its external id", method: "GET", path: `/Users?filter=externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"`, status: 200, want: "totalResults=1"},
		{
			what: "multi-valued properties", method: "PATCH", path: "/Users/{user}", status: 200, want: "name/familyName=updatedFamilyName; name/givenName=givenName",
			body: patchOp + `{"op":"Replace","path":"emails[type eq \"work\"].value","value":"updatedEmail@microsoft.com"},{"op":"Replace","path":"name.familyName","value":"updatedFamilyName"}]}`,
		},
		{
			what: "single-valued properties", method: "PATCH", path: "/Users/{user}", status: 200, want: "userName=5b50642d@testuser.com; id={user}",
			body: patchOp + `{"op":"Replace","path":"userName","value":"5b50642d@testuser.com"}]}`,
		},
		{what: "disable, as a string", method: "PATCH", path: "/Users/{user}", body: patchOp + `{"op":"Replace","path":"active","value":"False"}]}`, status: 200, want: "active=false"},
		{what: "enable, as a string", method: "PATCH", path: "/Users/{user}", body: patchOp + `{"op":"Add","path":"active","value":"True"}]}`, status: 200, want: "active=true"},
		{
			what: "an attribute of an extension", method: "PATCH", path: "/Users/{user}", status: 200, want: "id={user}",
			body: patchOp + `{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"Lab"}]}`,
		},
		{
			what: "without a path, names with dots", method: "PATCH", path: "/Users/{user}", status: 200, want: "displayName=Ada King; title=NP",
			body: patchOp + `{"op":"Add","value":{"displayName":"Ada King","name.givenName":"Ada","title":"NP"}}]}`,
		},
		{
			what: "create a group", method: "POST", path: "/Groups", status: 201, keep: "group", want: "externalId=8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159; displayName=displayName; members=nothing",
			body: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],"externalId":"8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159","displayName":"displayName","meta":{"resourceType":"Group"}}`,
		},
		{what: "the group again", method: "POST", path: "/Groups", body: `{` + group + `,"displayName":"displayName"}`, status: 409, want: "scimType=uniqueness"},
		{what: "without members", method: "GET", path: "/Groups/{group}?excludedAttributes=members", status: 200, want: "id={group}; members=nothing"},
		{what: "by its name", method: "GET", path: `/Groups?excludedAttributes=members&filter=displayName eq "displayName"`, status: 200, want: "totalResults=1; Resources/0/id={group}"},
		{what: "another name", method: "PATCH", path: "/Groups/{group}", body: patchOp + `{"op":"Replace","path":"displayName","value":"updatedDisplayName"}]}`, status: 204},
		{what: "add members", method: "PATCH", path: "/Groups/{group}", body: patchOp + `{"op":"Add","path":"members","value":[{"$ref":null,"value":"{user}"}]}]}`, status: 204},
		{what: "they are in it", method: "GET", path: "/Groups/{group}", status: 200, want: "displayName=updatedDisplayName; members/0/value={user}"},
		{what: "not shown", method: "GET", path: `/Groups?excludedAttributes=members&filter=displayName eq "updatedDisplayName"`, status: 200, want: "Resources/0/members=nothing"},
		{what: "remove members", method: "PATCH", path: "/Groups/{group}", body: patchOp + `{"op":"Remove","path":"members","value":[{"$ref":null,"value":"{user}"}]}]}`, status: 204},
		{what: "nobody is in it", method: "GET", path: "/Groups/{group}", status: 200, want: "members=nothing"},
		{what: "delete the group", method: "DELETE", path: "/Groups/{group}", status: 204},
		{what: "delete it again", method: "DELETE", path: "/Groups/{group}", status: 404},
		{what: "delete the user", method: "DELETE", path: "/Users/{user}", status: 204},
		{what: "it is gone", method: "GET", path: "/Users/{user}", status: 404},
		{what: "and can't be patched", method: "PATCH", path: "/Users/{user}", body: patchOp + `{"op":"Replace","path":"active","value":true}]}`, status: 404},
		{what: "nor found", method: "GET", path: `/Users?filter=userName eq "5b50642d@testuser.com"`, status: 200, want: "totalResults=0"},
		{
			what: "but made again, as who it was", method: "POST", path: "/Users", status: 201, want: "id={user}; active=true; displayName=Ada King",
			body: `{` + user + `,"userName":"5b50642d@testuser.com","displayName":"Ada King"}`,
		},
	})
}

// TestTheComplianceUtilitysRequests sends those of github.com/suvera/scim2-compliance-test-utility, which works with the locations that
// it is given. Its filters by co are not supported.
func TestTheComplianceUtilitysRequests(t *testing.T) {
	t.Parallel()
	d := newWorld(t).clinic("Clinic")
	for _, kind := range []struct{ list, body, patch string }{
		{"Users", `{` + user + `,"userName":"arya@stark.example","name":{"givenName":"Arya","familyName":"Stark","formatted":"Arya Stark"},"emails":[{"Primary":true,"type":"work","value":"arya@stark.example"}],"active":true}`, `{"op":"replace","path":"name.familyName","value":"Stagger"}`},
		{"Groups", `{` + group + `,"displayName":"Stark"}`, `{"op":"add","path":"members","value":[{"value":"` + d.finds("Users", `userName eq "ann@x.example"`) + `","type":"User","$ref":"{base}/Users/x"}]}`},
	} {
		made := d.sends("POST", "/"+kind.list, kind.body)
		at, ok := strings.CutPrefix(made.at("meta/location"), host+Path)
		if made.status != 201 || !ok || made.header.Get("Location") != made.at("meta/location") {
			t.Fatalf("%s: created, it is %d %s at %s", kind.list, made.status, made.text, made.header.Get("Location"))
		}
		d.plays([]step{
			{what: "read", method: "GET", path: at, status: 200, want: "id=" + made.at("id")},
			{what: "list", method: "GET", path: "/" + kind.list + "/?startIndex=0&count=10", status: 200, want: listOf + "; startIndex=1"},
			{what: "filter", method: "GET", path: "/" + kind.list + `/?filter=displayName co "Stark"`, status: 400, want: "scimType=invalidFilter"},
			{what: "update with what was answered", method: "PUT", path: at, body: made.text, status: 200, want: "id=" + made.at("id")},
			{what: "delete", method: "DELETE", path: at, status: 204},
		})
		if got := d.sends("PATCH", at, patchOp+kind.patch+`]}`); got.status != 404 {
			t.Errorf("%s: patched after it was deleted, it is %d %s", kind.list, got.status, got.text)
		}
		again := d.sends("POST", "/"+kind.list, kind.body)
		if got := d.sends("PATCH", at, patchOp+kind.patch+`]}`); again.at("id") != made.at("id") || got.status >= 300 {
			t.Errorf("%s: patched, it is %d %s", kind.list, got.status, got.text)
		}
	}
}

// TestWhatTheStandardSays is what the others do not ask for of RFC 7644, and what they get wrong.
func TestWhatTheStandardSays(t *testing.T) {
	t.Parallel()
	d := newWorld(t).clinic("Clinic")
	ann, desk := d.finds("Users", `userName eq "ann@x.example"`), d.finds("Groups", `displayName eq "Desk"`)
	named := func(text string) string {
		return strings.NewReplacer("{ann}", ann, "{desk}", desk).Replace(text)
	}
	steps := []step{
		{
			what: "what there is", method: "GET", path: "/ServiceProviderConfig", status: 200,
			want: "patch/supported=true; bulk/supported=false; filter/supported=true; filter/maxResults=500; etag/supported=false; sort/supported=false; changePassword/supported=false; authenticationSchemes/0/type=oauthbearertoken",
		},
		{what: "the types", method: "GET", path: "/ResourceTypes", status: 200, want: listOf + "; totalResults=2; Resources/0/endpoint=/Users; Resources/1/endpoint=/Groups"},
		{what: "a type", method: "GET", path: "/ResourceTypes/Group", status: 200, want: "schema=urn:ietf:params:scim:schemas:core:2.0:Group"},
		{what: "the schemas", method: "GET", path: "/Schemas", status: 200, want: listOf},
		{what: "a schema", method: "GET", path: "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", status: 200, want: "name=User"},
		{what: "me", method: "GET", path: "/Me", status: 501},
		{what: "no such place", method: "GET", path: "/Nowhere", status: 404},
		{what: "bulk", method: "POST", path: "/Bulk", body: `{}`, status: 404},
		{what: "a page behind the end", method: "GET", path: "/Users?startIndex=100&count=10", status: 200, want: "totalResults=2; Resources=0 of them"},
		{what: "a page of none", method: "GET", path: "/Users?count=0", status: 200, want: "totalResults=2; Resources=0 of them"},
		{what: "the second page", method: "GET", path: "/Users?startIndex=2&count=1", status: 200, want: "startIndex=2; Resources/0/userName=bob@x.example"},
		{what: "a count that is none", method: "GET", path: "/Users?count=many", status: 400},
		{what: "some attributes", method: "GET", path: "/Users/{ann}?attributes=userName,name.familyName", status: 200, want: "userName=ann@x.example; name/familyName=Lee; title=nothing; id={ann}"},
		{what: "another filter", method: "GET", path: `/Users?filter=userName sw "ann"`, status: 400, want: "scimType=invalidFilter"},
		{what: "two filters", method: "GET", path: `/Users?filter=userName eq "a" and active eq true`, status: 400, want: "scimType=invalidFilter"},
		{what: "a filter by something else", method: "GET", path: `/Users?filter=title eq "MA"`, status: 400, want: "scimType=invalidFilter"},
		{what: "a filter that is none", method: "GET", path: `/Users?filter=userName eq`, status: 400, want: "scimType=invalidFilter"},
		{what: "a filter that is endless", method: "GET", path: `/Users?filter=userName eq "` + strings.Repeat("a", 2000) + `"`, status: 400, want: "scimType=invalidFilter"},
		{what: "a filter by the id", method: "GET", path: `/Users?filter=id eq "{ann}"`, status: 200, want: "totalResults=1"},
		{what: "a filter by the name", method: "GET", path: `/Users?filter=displayName eq "Ann Lee"`, status: 200, want: "totalResults=1"},
		{what: "a filter by the mail", method: "GET", path: `/Users?filter=emails.value eq "ANN@x.example"`, status: 200, want: "totalResults=1"},
		{what: "a filter by nothing", method: "GET", path: `/Users?filter=externalId eq ""`, status: 200, want: "totalResults=0"},
		{what: "a user without a name", method: "POST", path: "/Users", body: `{` + user + `,"displayName":"Nobody"}`, status: 400, want: "scimType=invalidValue"},
		{what: "a user whose name is no address", method: "POST", path: "/Users", body: `{` + user + `,"userName":"nobody"}`, status: 400, want: "scimType=invalidValue"},
		{what: "no JSON", method: "POST", path: "/Users", body: `{`, status: 400, want: "scimType=invalidSyntax"},
		{what: "a patch that is none", method: "PATCH", path: "/Users/{ann}", body: `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[]}`, status: 400},
		{what: "an unknown operation", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"move","path":"title","value":"x"}]}`, status: 400},
		{what: "an unknown path", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"add","path":"shoeSize","value":"x"}]}`, status: 400, want: "scimType=invalidPath"},
		{what: "an endless path", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"add","path":"title` + strings.Repeat(".x", 1000) + `","value":"x"}]}`, status: 400, want: "scimType=invalidPath"},
		{what: "nothing to remove", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"remove"}]}`, status: 400, want: "scimType=noTarget"},
		{what: "what must be", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"remove","path":"userName"}]}`, status: 400, want: "scimType=mutability"},
		{what: "somebody else's address", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"replace","path":"userName","value":"bob@x.example"}]}`, status: 409, want: "scimType=uniqueness"},
		{what: "the address of a service account", method: "POST", path: "/Users", body: `{` + user + `,"userName":"directory@partner.example","displayName":"X"}`, status: 409, want: "scimType=uniqueness"},
		{what: "active that is no boolean", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"replace","path":"active","value":"perhaps"}]}`, status: 400, want: "scimType=invalidValue"},
		{what: "a role by roles", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"replace","path":"roles","value":[{"value":"CSR"},{"value":"Physician","primary":true}]}]}`, status: 200, want: "title=Physician"},
		{what: "a role by a filter", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"add","path":"roles[primary eq \"True\"].value","value":"NP"}]}`, status: 200, want: "title=NP"},
		{what: "no role", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"remove","path":"title"}]}`, status: 200, want: "title=Staff"},
		{what: "the same again", method: "PATCH", path: "/Users/{ann}", body: patchOp + `{"op":"replace","path":"title","value":"Staff"}]}`, status: 200, want: "title=Staff"},
		{what: "a user who is not active", method: "POST", path: "/Users", body: `{` + user + `,"userName":"late@x.example","active":false}`, status: 201, want: "active=false; displayName=late@x.example"},
		{what: "a group without a name", method: "POST", path: "/Groups", body: `{` + group + `}`, status: 400, want: "scimType=invalidValue"},
		{what: "a member who is nobody", method: "PATCH", path: "/Groups/{desk}", body: patchOp + `{"op":"add","path":"members","value":[{"value":"nobody"}]}]}`, status: 400, want: "scimType=invalidValue"},
		{what: "a member who is a group", method: "PATCH", path: "/Groups/{desk}", body: patchOp + `{"op":"add","path":"members","value":[{"value":"{desk}"}]}]}`, status: 400, want: "scimType=invalidValue"},
		{what: "nobody to remove", method: "PATCH", path: "/Groups/{desk}", body: patchOp + `{"op":"remove","path":"members[value eq \"nobody\"]"}]}`, status: 204},
		{what: "members by something else", method: "PATCH", path: "/Groups/{desk}", body: patchOp + `{"op":"remove","path":"members[display eq \"Ann Lee\"]"}]}`, status: 400, want: "scimType=invalidPath"},
		{what: "replace the group", method: "PUT", path: "/Groups/{desk}", body: `{` + group + `,"displayName":"Front desk","externalId":"7","members":[{"value":"{ann}"}]}`, status: 200, want: "displayName=Front desk; externalId=7; members=1 of them"},
		{what: "by its external id", method: "GET", path: `/Groups?filter=externalId eq "7"`, status: 200, want: "totalResults=1; Resources/0/id={desk}"},
		{what: "all members out", method: "PATCH", path: "/Groups/{desk}", body: patchOp + `{"op":"remove","path":"members"}]}`, status: 204},
		{what: "nobody is in it", method: "GET", path: "/Groups/{desk}", status: 200, want: "members=nothing"},
	}
	for n := range steps {
		steps[n].path, steps[n].body, steps[n].want = named(steps[n].path), named(steps[n].body), named(steps[n].want)
	}
	d.plays(steps)
}
