package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/rs/cors"

	"corridor/internal/auth"
	"corridor/internal/chat"
	"corridor/internal/demo"
	"corridor/internal/transfer"
)

// demoPath is where whoever comes signs in as a person of the demo clinic, on servers that make it.
const demoPath = "/demo/"

const (
	// demoTokenLife is that of the tokens that are given out there.
	demoTokenLife = 12 * time.Hour
	// demoBody is enough for an e-mail address.
	demoBody = 1 << 10
	// demoTime bounds the question who is there.
	demoTime = 10 * time.Second
)

// demoSignIn stands for the host application that a demo does not have: it signs people of the demo clinic in,
// and nobody else.
type demoSignIn struct {
	chat   *chat.Service
	key    *auth.Key
	logger *slog.Logger
}

// newDemoSignIn returns what answers below demoPath, to pages that may use the API.
func newDemoSignIn(service *chat.Service, key *auth.Key, logger *slog.Logger, allowed func(*http.Request) bool) http.Handler {
	d := &demoSignIn{service, key, logger}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+demoPath+"people", d.people)
	mux.HandleFunc("POST "+demoPath+"token", d.token)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		transfer.Refuse(w, http.StatusNotFound, "NOT_FOUND", "There is nothing here. GET /demo/people tells of the demo clinic's people, POST /demo/token signs one of them in.")
	})
	browser := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) { return allowed(r), nil },
		AllowedMethods:             []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders:             []string{"Content-Type"},
		MaxAge:                     600,
	})
	return browser.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allowed(r) {
			transfer.Refuse(w, http.StatusForbidden, "FORBIDDEN_ORIGIN", "Pages of this origin may not use this API.")
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), demoTime)
		defer cancel()
		mux.ServeHTTP(w, r.WithContext(ctx))
	}))
}

// people tells who is there to be signed in.
func (d *demoSignIn) people(w http.ResponseWriter, r *http.Request) {
	found, err := demo.People(r.Context(), d.chat)
	switch {
	case err != nil:
		d.fail(w, r, err)
		return
	case len(found) == 0:
		transfer.Refuse(w, http.StatusNotFound, "NOT_FOUND", "There is no demo clinic here.")
		return
	}
	type person struct {
		Email     string `json:"email"`
		Name      string `json:"name"`
		RoleLabel string `json:"roleLabel"`
	}
	people := make([]person, len(found))
	for i, user := range found {
		people[i] = person{user.Email, user.Name, user.RoleLabel}
	}
	answer(w, struct {
		Clinic string   `json:"clinic"`
		People []person `json:"people"`
	}{demo.Clinic, people})
}

// token gives out a token for one of them. It takes nothing that a page of another origin could send unasked.
func (d *demoSignIn) token(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		transfer.Refuse(w, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "Send the request as application/json.")
		return
	}
	var asked struct {
		Email string `json:"email"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, demoBody))
	if err == nil {
		err = json.Unmarshal(body, &asked)
	}
	if err != nil || asked.Email == "" {
		transfer.Refuse(w, http.StatusBadRequest, "BAD_REQUEST", `Say who, in a short request: {"email":"`+demo.Introduced[0]+`"}.`)
		return
	}
	user, err := demo.Person(r.Context(), d.chat, asked.Email)
	if errors.Is(err, demo.ErrNobody) {
		transfer.Refuse(w, http.StatusNotFound, "NOT_FOUND", "Nobody of the demo clinic has this e-mail address.")
		return
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	token, err := d.key.Mint(user.ID.UUID, demoTokenLife)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	claims, err := d.key.Verify(r.Context(), token)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	answer(w, struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expiresAt"`
	}{token, claims.ExpiresAt.UTC()})
}

func (d *demoSignIn) fail(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(r.Context().Err(), context.Canceled) { // who has left is no fault
		d.logger.ErrorContext(r.Context(), "nobody can sign in to the demo clinic", "error", chat.Describe(err))
	}
	w.Header().Set("Retry-After", "1")
	transfer.Refuse(w, http.StatusServiceUnavailable, "INTERNAL", "The service is not available at the moment. Please try again.")
}

func answer(w http.ResponseWriter, what any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(what) // who has left needs no answer
}
