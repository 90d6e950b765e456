package chat

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"corridor/internal/eventlog"
)

// A Credential is what a believed token says of its bearer.
type Credential struct {
	// Subject is the id of the person, if the token names them by it. Otherwise Email does, in lower case.
	Subject uuid.UUID
	Email   string
	// Clinic is the name of their clinic. If the token names none, an address is that of somebody of the only clinic.
	Clinic string
	// Token names the token among all others, and can't be used as one.
	Token string
	// IssuedAt is zero if that is not known: then the token is older than every end of the person's sessions.
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// credentialColumns are credentials as a statement takes them.
type credentialColumns struct {
	subjects []uuid.NullUUID
	emails   []*string
	clinics  []string
	tokens   []string
	issued   []time.Time
}

func credentialsAsColumns(credentials []Credential) (columns credentialColumns) {
	for _, c := range credentials {
		columns.subjects = append(columns.subjects, uuid.NullUUID{UUID: c.Subject, Valid: c.Subject != uuid.Nil})
		var email *string
		if c.Subject == uuid.Nil {
			email = &c.Email
		}
		columns.emails = append(columns.emails, email)
		columns.clinics = append(columns.clinics, c.Clinic)
		columns.tokens = append(columns.tokens, c.Token)
		columns.issued = append(columns.issued, c.IssuedAt)
	}
	return columns
}

// SignOutInput says how much of the actor's sessions ends.
type SignOutInput struct {
	ClientKey  string
	Everywhere bool
}

// SignOut ends the session of the token that the actor was let in with, or all sessions whose tokens were issued until
// now, and returns when (E35). Their other devices hear of it at once, and everybody else in the next sweep.
func (s *Service) SignOut(ctx context.Context, actor Actor, in SignOutInput) (time.Time, error) {
	return change(ctx, s, actor, "signOut", in.ClientKey, in, func(ctx context.Context, tx *transaction) (at time.Time, err error) {
		if in.Everywhere {
			at, err = signOutEverywhere(ctx, tx, actor.User.ID, actor.Credential.IssuedAt)
		} else {
			// Whoever says that it ends in a thousand years must not make it fail.
			expires := actor.Credential.ExpiresAt
			if longest := time.Now().AddDate(100, 0, 0); expires.After(longest) {
				expires = longest
			}
			const query = `
				INSERT INTO ended_sessions (user_id, token, ended_at, expires_at) VALUES ($1, $2, clock_timestamp(), $3)
				ON CONFLICT ON CONSTRAINT ended_sessions_pkey DO UPDATE SET expires_at = EXCLUDED.expires_at
				RETURNING ended_at`
			err = tx.GetContext(ctx, &at, query, actor.User.ID, actor.Credential.Token, expires)
		}
		if err != nil {
			return at, fmt.Errorf("sign out: %w", err)
		}
		_, err = tx.append(ctx, eventlog.Event{Stream: actor.User.Stream, Kind: kindSignedOut, Subject: actor.User.ID.UUID})
		return at, err
	})
}

// EndSessions ends all sessions of a person whose tokens were issued until now, and returns when. It is for
// operators: it has no actor.
func (s *Service) EndSessions(ctx context.Context, user User) (at time.Time, err error) {
	err = s.transact(ctx, Actor{User: user}, func(ctx context.Context, tx *transaction) error {
		if at, err = signOutEverywhere(ctx, tx, user.ID, time.Time{}); err != nil {
			return fmt.Errorf("end the sessions: %w", err)
		}
		_, err = tx.append(ctx, eventlog.Event{Stream: user.Stream, Kind: kindSignedOut, Subject: user.ID.UUID})
		return err
	})
	return at, err
}

// signOutEverywhere refuses tokens that were issued until now, or until one is said to have been whose issuer's
// clock is ahead.
func signOutEverywhere(ctx context.Context, tx *transaction, id UserID, issued time.Time) (at time.Time, err error) {
	const query = `UPDATE users SET signed_out_at = greatest(signed_out_at, clock_timestamp(), $2) WHERE id = $1 RETURNING signed_out_at`
	err = tx.GetContext(ctx, &at, query, id, issued)
	return at, err
}

// ForgetSessions forgets ended sessions whose tokens have run out since, which nobody can come with any more.
func (s *Service) ForgetSessions(ctx context.Context) error {
	const query = `DELETE FROM ended_sessions WHERE expires_at < now() - interval '1 hour'`
	if _, err := s.db.ExecContext(ctx, query); err != nil {
		return fmt.Errorf("forget ended sessions: %w", err)
	}
	return nil
}
