package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"corridor/internal/auth"
)

// oidcSettings say which OpenID Connect issuer signs people in.
type oidcSettings struct {
	Issuer      string `name:"oidc-issuer" env:"CORRIDOR_OIDC_ISSUER" placeholder:"URL" help:"OpenID Connect issuer whose tokens sign people in, exactly as they name it: https://sign-in.example.org. Corridor's own tokens stay good beside them."`
	Audience    string `name:"oidc-audience" env:"CORRIDOR_OIDC_AUDIENCE" placeholder:"NAME" help:"For whom the issuer's tokens must be: what their claim aud says or holds. Needed with an issuer."`
	PersonClaim string `name:"oidc-person-claim" env:"CORRIDOR_OIDC_PERSON_CLAIM" default:"email" placeholder:"CLAIM" help:"The claim with the person's e-mail address as the roster has it, or their id in Corridor (${default})."`
	ClinicClaim string `name:"oidc-clinic-claim" env:"CORRIDOR_OIDC_CLINIC_CLAIM" default:"corridor_clinic" placeholder:"CLAIM" help:"The claim with the name of the person's clinic (${default}). A token without it is for the only clinic, as long as there is no other."`
	MFA         string `name:"oidc-mfa" env:"CORRIDOR_OIDC_MFA" placeholder:"CLAIM=VALUE" help:"What tokens must say of people who gave more than one proof, as a text or in a list: amr=mfa. Others are refused."`
	Algorithms  string `name:"oidc-algorithms" env:"CORRIDOR_OIDC_ALGORITHMS" placeholder:"NAME,…" help:"What the issuer's tokens may be signed with. By default RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA, and never anything else."`

	options auth.OIDCOptions
}

func (o *oidcSettings) check() error {
	if o.Issuer == "" {
		for _, alone := range []struct{ value, name string }{
			{o.Audience, "CORRIDOR_OIDC_AUDIENCE (--oidc-audience)"}, {o.MFA, "CORRIDOR_OIDC_MFA (--oidc-mfa)"}, {o.Algorithms, "CORRIDOR_OIDC_ALGORITHMS (--oidc-algorithms)"},
		} {
			if alone.value != "" {
				return wrong("%s is for tokens of an OpenID Connect issuer: name it in CORRIDOR_OIDC_ISSUER (--oidc-issuer)", alone.name)
			}
		}
		return nil
	}
	if err := auth.CheckIssuer(o.Issuer); err != nil {
		return wrong("CORRIDOR_OIDC_ISSUER (--oidc-issuer) is %q: %w", o.Issuer, err)
	}
	if o.Audience == "" {
		return wrong("CORRIDOR_OIDC_ISSUER (--oidc-issuer) needs CORRIDOR_OIDC_AUDIENCE (--oidc-audience): for whom its tokens are, or those for other services would be good here")
	}
	o.options = auth.OIDCOptions{Issuer: o.Issuer, Audience: o.Audience, PersonClaim: o.PersonClaim, ClinicClaim: o.ClinicClaim}
	if o.MFA != "" {
		claim, value, ok := strings.Cut(o.MFA, "=")
		if !ok || claim == "" || value == "" {
			return wrong("CORRIDOR_OIDC_MFA (--oidc-mfa) is %q: it must be a claim and its value, such as amr=mfa", o.MFA)
		}
		o.options.MFAClaim, o.options.MFAValue = claim, value
	}
	for algorithm := range strings.SplitSeq(o.Algorithms, ",") {
		if algorithm = strings.TrimSpace(algorithm); algorithm == "" {
			continue
		}
		if !slices.Contains(auth.Algorithms, algorithm) {
			return wrong("CORRIDOR_OIDC_ALGORITHMS (--oidc-algorithms) holds %q: what can be is %s", algorithm, strings.Join(auth.Algorithms, ", "))
		}
		o.options.Algorithms = append(o.options.Algorithms, algorithm)
	}
	return nil
}

// open returns the verifier of the issuer's tokens, or nil if there is no issuer. Its keys are kept in the database.
func (o *oidcSettings) open(ctx context.Context, db *sqlx.DB, logger *slog.Logger) (*auth.OIDC, error) {
	if o.Issuer == "" {
		return nil, nil
	}
	options := o.options
	options.Logger = logger
	options.Load = func(ctx context.Context) ([]byte, time.Time, error) {
		const query = `SELECT keys, fetched_at FROM issuer_keys WHERE issuer = $1`
		var kept struct {
			Keys      []byte    `db:"keys"`
			FetchedAt time.Time `db:"fetched_at"`
		}
		err := db.GetContext(ctx, &kept, query, o.Issuer)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return kept.Keys, kept.FetchedAt, err
	}
	options.Save = func(ctx context.Context, keys []byte, fetched time.Time) error {
		const query = `
			INSERT INTO issuer_keys (issuer, keys, fetched_at) VALUES ($1, $2, $3)
			ON CONFLICT ON CONSTRAINT issuer_keys_pkey DO UPDATE SET keys = EXCLUDED.keys, fetched_at = EXCLUDED.fetched_at
			WHERE issuer_keys.fetched_at < EXCLUDED.fetched_at`
		_, err := db.ExecContext(ctx, query, o.Issuer, keys, fetched)
		return err
	}
	return auth.NewOIDC(ctx, options)
}
