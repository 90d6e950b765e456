// Package scim lets a partner's directory keep the roster of a clinic by SCIM 2.0 (RFC 7643, RFC 7644): Users are
// its people, Groups its waiting rooms.
//
// What may be done is decided by package chat. Who may not write the roster gets the answer of an address where
// nothing is, and so does whoever asks for somebody of another clinic. Ids are those of the GraphQL API.
package scim

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/elimity-com/scim"
	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"

	"corridor/internal/auth"
	"corridor/internal/budget"
	"corridor/internal/chat"
)

// Path is where everything of this package is.
const Path = "/scim/v2"

const (
	// maxBody is more than the members of the largest room.
	maxBody = 512 << 10
	// maxExpression is how long a filter, or the path of a patch, may be.
	maxExpression = 1000
	// maxTime bounds a request.
	maxTime = 15 * time.Second
)

// Options are what SCIM needs.
type Options struct {
	Chat *chat.Service
	// Authenticate says who is asking. The error is chat.ErrSignedOut, auth.ErrUnavailable, or a fault of ours.
	Authenticate func(ctx context.Context, r *http.Request) (chat.Actor, error)
	Logger       *slog.Logger
	// AllowedOrigin tells which pages may ask. Directories are no pages.
	AllowedOrigin func(*http.Request) bool
	// Budgets bound what is asked in a minute.
	Budgets *budget.Budgets
}

func init() {
	// Microsoft Entra sends booleans as strings: "False".
	schema.SetAllowStringValues(true)
}

// handler is what all requests share.
type handler struct {
	Options
	offers scim.ServerArgs
}

// NewHandler returns what answers at Path and below it.
func NewHandler(options Options) (http.Handler, error) {
	h := &handler{Options: options}
	h.offers = scim.ServerArgs{
		ServiceProviderConfig: &scim.ServiceProviderConfig{
			MaxResults:       chat.MaxRosterPage,
			SupportFiltering: true,
			SupportPatch:     true,
			AuthenticationSchemes: []scim.AuthenticationScheme{{
				Type: scim.AuthenticationTypeOauthBearerToken, Name: "Partner key",
				Description: "A partner key with the scope roster:write, as Authorization: Bearer.", Primary: true,
			}},
		},
		ResourceTypes: []scim.ResourceType{
			{
				ID: optional.NewString("User"), Name: "User", Endpoint: "/Users",
				Description: optional.NewString("A person of the clinic"), Schema: schema.CoreUserSchema(),
				SchemaExtensions: []scim.SchemaExtension{{Schema: schema.ExtensionEnterpriseUser()}},
				Handler:          users{h},
			},
			{
				ID: optional.NewString("Group"), Name: "Group", Endpoint: "/Groups",
				Description: optional.NewString("A waiting room"), Schema: schema.CoreGroupSchema(), Handler: groups{h},
			},
		},
	}
	if _, err := scim.NewServer(&h.offers); err != nil {
		return nil, fmt.Errorf("SCIM: %w", err)
	}
	return h, nil
}

// base is the address of SCIM as the client has it.
func base(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host + Path
}

// ServeHTTP answers who may write the roster.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	ctx, cancel := context.WithTimeout(r.Context(), maxTime)
	defer cancel()
	r = r.WithContext(ctx)
	if !h.AllowedOrigin(r) {
		refuse(w, scimerrors.ScimError{Status: http.StatusForbidden, Detail: "Pages of this origin may not use this API."})
		return
	}
	actor, err := h.Authenticate(ctx, r)
	switch {
	case errors.Is(err, chat.ErrSignedOut):
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuse(w, scimerrors.ScimError{Status: http.StatusUnauthorized, Detail: "Send a valid key as Authorization: Bearer."})
		return
	case errors.Is(err, auth.ErrUnavailable):
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		refuse(w, scimerrors.ScimError{Status: http.StatusServiceUnavailable, Detail: "The service is not available at the moment. Please try again."})
		return
	case err != nil:
		refuse(w, h.fault(ctx, err))
		return
	case !actor.May(chat.RosterWrite), actor.RunsOnlyDocuments():
		refuse(w, scimerrors.ScimError{Status: http.StatusNotFound, Detail: "Specified endpoint does not exist."})
		return
	}
	v := &visit{ResponseWriter: w, actor: actor, account: h.account(actor), begun: r.Method != http.MethodGet}
	if err := v.spend(cost(r)); err != nil {
		refuse(w, *v.refused)
		return
	}
	if refused := admit(w, r); refused != nil {
		refuse(w, *refused)
		return
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			refuse(w, h.fault(ctx, fmt.Errorf("panic (%T): %s", panicked, debug.Stack())))
		}
	}()
	server, err := scim.NewServer(&h.offers, scim.WithBaseURL(base(r)))
	if err != nil {
		refuse(w, h.fault(ctx, err))
		return
	}
	asked := r.Clone(context.WithValue(ctx, visitKey{}, v))
	asked.URL.Path = listed(r)
	if asked.URL.Path == "/Groups" && r.Method == http.MethodGet {
		query := asked.URL.Query()
		query.Set("count", strconv.Itoa(counted(r)))
		asked.URL.RawQuery = query.Encode()
	}
	server.ServeHTTP(v, asked)
}

// listed is the path of a request below ours.
func listed(r *http.Request) string {
	return strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, Path), "/")
}

// counted is how many entries of a list are asked for. The library tells the client of as many.
func counted(r *http.Request) int {
	most := chat.MaxRosterPage
	if listed(r) == "/Groups" && wants(r, "members") {
		most = maxRoomsWithMembers
	}
	count, err := strconv.Atoi(r.URL.Query().Get("count"))
	if err != nil {
		return most
	}
	return max(0, min(count, most))
}

// account is what the actor's requests are paid from.
func (h *handler) account(actor chat.Actor) budget.Account {
	if actor.Grant != nil {
		return h.Budgets.Key(actor.Grant.KeyID.UUID)
	}
	return h.Budgets.Person(actor.User.ID.UUID)
}

const (
	// perPoint is how many people or rooms a point of a budget buys.
	perPoint = 10
	// maxRoomsWithMembers is how many rooms are listed at once with who is in them, and maxMembers how many these may be. One
	// room may have more.
	maxRoomsWithMembers, maxMembers = 50, 25_000
	// retryAfter is how many seconds whoever finds us busy waits.
	retryAfter = 5
)

// cost is what a request costs, in points, but for the members of rooms.
func cost(r *http.Request) int {
	list := listed(r)
	if r.Method != http.MethodGet || list != "/Users" && list != "/Groups" || r.URL.Query().Get("filter") != "" {
		return 1
	}
	return max(1, counted(r)/perPoint)
}

// visit is a request that was let in, and its answer.
type visit struct {
	http.ResponseWriter
	actor   chat.Actor
	account budget.Account
	// whole is what else of a minute's budget there can be at most, below 0 if there is no limit.
	whole int
	// begun says that something is changed: what that shows is paid for, whatever is left.
	begun bool
	// refused is what is answered in the end, if it is not nil: the library knows few statuses.
	refused *scimerrors.ScimError
}

// refuses keeps what is answered in the end.
func (v *visit) refuses(refused scimerrors.ScimError) error {
	v.refused = &refused
	return refused
}

// spend takes so many points of the budget, or refuses the request.
func (v *visit) spend(points int) error {
	standing, ok := v.account.Spend(points)
	standing.Show(v.Header())
	v.whole = standing.Limit - points
	if ok {
		return nil
	}
	v.Header().Set("Retry-After", strconv.Itoa(standing.Wait))
	return v.refuses(scimerrors.ScimError{
		Status: http.StatusTooManyRequests,
		Detail: fmt.Sprintf("This is more than what is left to ask for in this minute. Try again in %d seconds.", standing.Wait),
	})
}

// pay takes of the budget what it costs to show so many members, or refuses the request. More than a whole minute buys
// cost the whole minute.
func (v *visit) pay(members int) error {
	points := members / perPoint
	switch {
	case v.begun:
		v.account.Take(points)
		return nil
	case v.whole >= 0:
		points = min(points, v.whole)
	}
	return v.spend(points)
}

// busy refuses what can be done a little later.
func (v *visit) busy(detail string) error {
	v.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	return v.refuses(scimerrors.ScimError{Status: http.StatusServiceUnavailable, Detail: detail})
}

// WriteHeader implements http.ResponseWriter.
func (v *visit) WriteHeader(status int) {
	if v.refused != nil {
		refuse(v.ResponseWriter, *v.refused)
		return
	}
	v.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (v *visit) Write(body []byte) (int, error) {
	if v.refused != nil {
		return len(body), nil // it is answered
	}
	return v.ResponseWriter.Write(body)
}

type visitKey struct{}

func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	return v
}

func actorOf(r *http.Request) chat.Actor { return visitOf(r).actor }

// admit refuses what is too large, or no SCIM, before it is parsed.
func admit(w http.ResponseWriter, r *http.Request) *scimerrors.ScimError {
	if len(r.URL.Query().Get("filter")) > maxExpression {
		return &scimerrors.ScimErrorInvalidFilter
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/scim+json" && kind != "application/json" {
		return &scimerrors.ScimError{Status: http.StatusUnsupportedMediaType, Detail: "Send the request as application/scim+json."}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		return &scimerrors.ScimError{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The request may have at most %d bytes.", maxBody)}
	} else if err != nil {
		return &scimerrors.ScimErrorInvalidSyntax
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.Method == http.MethodPatch && !shortPaths(body) {
		return &scimerrors.ScimErrorInvalidPath
	}
	return nil
}

// shortPaths tells whether the paths of a patch are as short as any that means something here.
func shortPaths(body []byte) bool {
	var patch struct {
		Operations []struct {
			Path  json.RawMessage
			Value json.RawMessage
		}
	}
	if json.Unmarshal(body, &patch) != nil {
		return true // it is refused for what it is
	}
	for _, operation := range patch.Operations {
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(operation.Value, &fields) // it need not be an object
		for path := range fields {
			if len(path) > maxExpression {
				return false
			}
		}
		if len(operation.Path) > maxExpression {
			return false
		}
	}
	return true
}

// refuse answers with an error as SCIM has them.
func refuse(w http.ResponseWriter, refused scimerrors.ScimError) {
	body, _ := json.Marshal(refused) // of strings
	w.Header().Set("Content-Type", "application/scim+json")
	w.WriteHeader(refused.Status)
	_, _ = w.Write(body) // who is gone need not know
}

// answer is an error of chat as SCIM has them.
func (h *handler) answer(r *http.Request, err error) error {
	failure, refused := new(chat.Error), scimerrors.ScimError{}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return refused
	case !errors.As(err, &failure):
		return h.fault(r.Context(), err)
	case failure.Code == chat.CodeNotFound:
		return scimerrors.ScimError{Status: http.StatusNotFound, Detail: failure.Message}
	case failure.Code == chat.CodeBusy:
		return visitOf(r).busy(failure.Message)
	case failure.Code == chat.CodeEmailTaken, failure.Code == chat.CodeNameTaken:
		return scimerrors.ScimError{Status: http.StatusConflict, ScimType: scimerrors.ScimTypeUniqueness, Detail: failure.Message}
	}
	return wrongValue(failure.Message)
}

// fault is a failure of ours, logged under an id that is all the client hears of it.
func (h *handler) fault(ctx context.Context, err error) scimerrors.ScimError {
	id := rand.Text()
	h.Logger.ErrorContext(ctx, "a SCIM request failed", "fault", id, "error", chat.Describe(err))
	return scimerrors.ScimError{Status: http.StatusInternalServerError, Detail: "Something went wrong on our side. If it stays, report the fault " + id + "."}
}

func wrongValue(detail string) scimerrors.ScimError {
	return scimerrors.ScimError{Status: http.StatusBadRequest, ScimType: scimerrors.ScimTypeInvalidValue, Detail: detail}
}

// shown takes out of a resource what the client did not ask for.
func shown(r *http.Request, resource scim.Resource) scim.Resource {
	for name := range resource.Attributes {
		if !wants(r, name) {
			delete(resource.Attributes, name)
		}
	}
	return resource
}

// wants tells whether the client asked for an attribute, by attributes or excludedAttributes.
func wants(r *http.Request, name string) bool {
	query := r.URL.Query()
	if only := query.Get("attributes"); only != "" {
		return lists(only, name)
	}
	return !lists(query.Get("excludedAttributes"), name)
}

// lists tells whether an attribute, or a part of it, is in a list.
func lists(list, name string) bool {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if at := strings.LastIndex(item, ":"); at >= 0 {
			item = item[at+1:]
		}
		item, _, _ = strings.Cut(item, ".")
		if strings.EqualFold(item, name) {
			return true
		}
	}
	return false
}
