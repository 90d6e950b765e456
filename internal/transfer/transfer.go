// Package transfer carries the bytes of files over HTTP: uploads by the tus protocol, which go on where they
// broke off, and downloads with ranges.
//
// Who may do what is decided by package chat, anew for each request and while one lasts. An address is signed for one
// person, one thing and a short time, and works only with that person's token: one that was copied or kept is worth
// nothing. What it may not give it answers as if it did not exist. Memory does not grow with the size of
// files: each request holds one piece.
package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/rs/cors"

	"corridor/internal/auth"
	"corridor/internal/budget"
	"corridor/internal/chat"
	"corridor/internal/courtesy"
)

// Path is where everything of this package is.
const Path = "/files/"

const (
	// uploadLife is how long the address of an upload is good for.
	uploadLife = 15 * time.Minute
	// downloadLife is how long that of a download is (E38).
	downloadLife = time.Minute
)

// Options are what transfers need.
type Options struct {
	Chat *chat.Service
	// Door knows who is asking.
	Door   *auth.Door
	Links  Links
	Logger *slog.Logger
	// AllowedOrigin tells which pages may transfer files.
	AllowedOrigin func(*http.Request) bool
	// Budgets bound what of directories a person or a key downloads in a minute; without them nobody is bounded.
	Budgets *budget.Budgets
	// SealCursor seals cursors of directories for who reads them, as the API does.
	SealCursor func(reader *chat.Actor, cursor string) string
	// Courtesy is that of the process; without it downloads of directories have turns of their own.
	Courtesy *courtesy.Courtesy
	// Patience is with clients that are slow; DefaultPatience if it is zero.
	Patience Patience
}

// Patience is how long a client may take.
type Patience struct {
	// Silence is how long it may send nothing of an upload.
	Silence time.Duration
	// Piece is how long it may take for a piece of one. A slower client keeps what came, and goes on.
	Piece time.Duration
	// Write is how long it may take to read what is written of a download at a time.
	Write time.Duration
	// Sight is how long a transfer goes on until it is asked again whether it may.
	Sight time.Duration
}

// DefaultPatience is for clients on bad lines.
var DefaultPatience = Patience{Silence: 30 * time.Second, Piece: time.Minute, Write: 30 * time.Second, Sight: 3 * time.Second}

// Links makes the addresses of files.
type Links struct{ signer auth.Links }

// NewLinks makes addresses with a key, which all instances must share.
func NewLinks(key []byte) Links { return Links{auth.NewLinks(key)} }

// Upload is where a person sends the bytes of a file, and until when.
func (l Links) Upload(person chat.UserID, file chat.FileID) (address string, until time.Time) {
	return l.address(person, file, "upload", uploadLife)
}

// Download is where a person gets a part of a file that they see, and until when.
func (l Links) Download(person chat.UserID, file *chat.File, part chat.FilePart) (address string, until time.Time) {
	return l.address(person, file.ID, string(part)+"/"+string(file.Sight), downloadLife)
}

func (l Links) address(person chat.UserID, file chat.FileID, what string, life time.Duration) (address string, until time.Time) {
	until = time.Now().Add(life).Truncate(time.Second)
	return l.signer.Sign(Path+file.String()+"/"+what, person.UUID, until), until
}

// transfers is what all requests share.
type transfers struct {
	Options
	uploads *uploads
}

// NewHandler returns what answers below Path.
func NewHandler(options Options) (http.Handler, error) {
	if options.Patience == (Patience{}) {
		options.Patience = DefaultPatience
	}
	t := &transfers{Options: options}
	var err error
	if t.uploads, err = newUploads(options); err != nil {
		return nil, err
	}
	const signed = "/{expires}/{signature}"
	mux := http.NewServeMux()
	for _, part := range []chat.FilePart{chat.FileContent, chat.FileThumbnail} {
		mux.HandleFunc(Path+"{file}/"+string(part)+"/{sight}"+signed, t.admit(chat.ConversationsRead, func(w http.ResponseWriter, r *http.Request, as visit) {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				refuseMethod(w, "GET, HEAD", "Fetch the bytes with GET.")
				return
			}
			t.download(w, r, as, part)
		}))
	}
	mux.HandleFunc(Path+"{file}/upload"+signed, t.admit(chat.ConversationsWrite, t.uploads.serve))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuseUnknown(w) })
	browser := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) { return options.AllowedOrigin(r), nil },
		AllowedMethods:             []string{http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodDelete},
		AllowedHeaders:             []string{"Authorization", "Content-Type", "Range", "If-Range", "Tus-Resumable", "Upload-Offset"},
		ExposedHeaders: []string{
			"Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "ETag", "Retry-After", "Tus-Resumable", "Upload-Length", "Upload-Offset",
		},
		MaxAge: 600,
	})
	return browser.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !options.AllowedOrigin(r) {
			Refuse(w, http.StatusForbidden, "FORBIDDEN_ORIGIN", "Pages of this origin may not use this API.")
			return
		}
		mux.ServeHTTP(w, r)
	})), nil
}

// visit is who asks for what.
type visit struct {
	actor chat.Actor
	file  chat.FileID
	again func(ctx context.Context) error
}

// admit lets through who is signed in and has an address that is good for them now.
func (t *transfers) admit(scope chat.Scope, next func(http.ResponseWriter, *http.Request, visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		actor, ok := t.known(w, r)
		if !ok {
			return
		}
		id, invalid := uuid.Parse(r.PathValue("file"))
		switch err := t.Links.signer.Verify(r.URL.Path, actor.User.ID.UUID); {
		case errors.Is(err, auth.ErrExpired):
			Refuse(w, http.StatusGone, "LINK_EXPIRED", "This address has run out: ask for a fresh one.")
			return
		case err != nil || invalid != nil || !actor.May(scope):
			refuseUnknown(w)
			return
		}
		next(w, r, visit{actor, chat.FileID{UUID: id}, func(ctx context.Context) error {
			_, err := t.Door.WhoAsks(ctx, r)
			return err
		}})
	}
}

// What all hear who are not signed in.
const (
	codeUnauthenticated = "UNAUTHENTICATED"
	signInFirst         = "Sign in first: send a valid token as Authorization: Bearer."
	challenge           = `Bearer realm="corridor"`
)

// known is who is asking. Whoever is not signed in has been told.
func (t *transfers) known(w http.ResponseWriter, r *http.Request) (chat.Actor, bool) {
	actor, err := t.Door.WhoAsks(r.Context(), r)
	switch {
	case errors.Is(err, chat.ErrSignedOut):
		refuseSignedOut(w)
		return chat.Actor{}, false
	case err != nil:
		t.fail(w, r, err)
		return chat.Actor{}, false
	}
	return actor, true
}

func refuseSignedOut(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", challenge)
	Refuse(w, http.StatusUnauthorized, codeUnauthenticated, signInFirst)
}

// AccountOf is whose budget is spent by an actor: each key has one of its own.
func AccountOf(actor chat.Actor, budgets *budget.Budgets) budget.Account {
	if actor.Grant != nil {
		return budgets.Key(actor.Grant.KeyID.UUID)
	}
	return budgets.Person(actor.User.ID.UUID)
}

// statuses are those of failures that a person can run into; any other is 422.
var statuses = map[chat.ErrorCode]int{
	chat.CodeNotFound:        http.StatusNotFound,
	chat.CodeFileNotReady:    http.StatusConflict,
	chat.CodeUploadMoved:     http.StatusConflict,
	chat.CodeFileAlreadySent: http.StatusConflict,
	chat.CodeFileInfected:    http.StatusForbidden,
	chat.CodeFileNotScanned:  http.StatusForbidden,
	chat.CodeFileLost:        http.StatusNotFound,
	tooSlow.Code:             http.StatusRequestTimeout,
	"UNSUPPORTED_VERSION":    http.StatusPreconditionFailed,
	"INVALID_CONTENT_TYPE":   http.StatusBadRequest,
	"INVALID_OFFSET":         http.StatusBadRequest,
	"NOT_IMPLEMENTED":        http.StatusNotImplemented,
	"UNEXPECTED_EOF":         http.StatusBadRequest,
}

func statusOf(code chat.ErrorCode) int {
	if status, ok := statuses[code]; ok {
		return status
	}
	return http.StatusUnprocessableEntity
}

// answerOf is what an error becomes: the failure of a person, or a fault that is logged.
func answerOf(ctx context.Context, logger *slog.Logger, err error) (status int, code, message string) {
	if failure := new(chat.Error); errors.As(err, &failure) {
		return statusOf(failure.Code), string(failure.Code), failure.Message
	}
	if ctx.Err() == nil {
		logger.ErrorContext(ctx, "a transfer failed", "error", chat.Describe(err))
	}
	return http.StatusServiceUnavailable, "INTERNAL", "The service is not available at the moment. Please try again."
}

func (t *transfers) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, code, message := answerOf(r.Context(), t.Logger, err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if code == string(chat.CodeNotFound) {
		refuseUnknown(w)
		return
	}
	Refuse(w, status, code, message)
}

func refuseMethod(w http.ResponseWriter, allowed, instead string) {
	w.Header().Set("Allow", allowed)
	Refuse(w, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", instead)
}

// refuseUnknown is the one answer for what does not exist and for what is not for whoever asks.
func refuseUnknown(w http.ResponseWriter) {
	Refuse(w, http.StatusNotFound, string(chat.CodeNotFound), "There is no such file.")
}

// Refuse answers a request as the API does.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	refuse(w, status, extensions{Code: code}, message)
}

// refuseForNow answers that it is too much, and after how many seconds to come again.
func refuseForNow(w http.ResponseWriter, seconds int, message string) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	refuse(w, http.StatusTooManyRequests, extensions{string(chat.CodeRateLimited), seconds}, message)
}

func refuse(w http.ResponseWriter, status int, about extensions, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(refusal(about, message)) // who has left needs no answer
}

// extensions are what programs go by.
type extensions struct {
	Code string `json:"code"`
	// RetryAfter is in seconds.
	RetryAfter int `json:"retryAfter,omitempty"`
}

// refusal is the body of such an answer.
func refusal(about extensions, message string) []byte {
	type failure struct {
		Message    string     `json:"message"`
		Extensions extensions `json:"extensions"`
	}
	body, err := json.Marshal(map[string][]failure{"errors": {{message, about}}})
	if err != nil {
		panic(err) // strings and a number can always be written
	}
	return append(body, '\n')
}
