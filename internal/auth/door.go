package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"go.jetify.com/typeid"

	"corridor/graph/scalar"
	"corridor/internal/chat"
)

// ErrUnavailable means that it can't be found out at the moment whether a token is good.
var ErrUnavailable = errors.New("nobody can tell whether the token is good")

// signInTime bounds the question who is asking. It is long: on a busy server everybody waits, and nobody is
// sent away to come back and ask once more.
const signInTime = 10 * time.Second

// A Door knows who is asking, wherever one can ask: by the token of a person or the key of a program.
type Door struct {
	chat     *chat.Service
	verifier Verifier
	address  func(*http.Request) netip.Addr
	logger   *slog.Logger
}

// NewDoor makes a door. Behind proxies in these networks a request comes from where they say.
func NewDoor(service *chat.Service, verifier Verifier, proxies []netip.Prefix, logger *slog.Logger) *Door {
	return &Door{service, verifier, ClientAddress(proxies), logger}
}

// ClientAddress tells from where a request comes.
func (d *Door) ClientAddress(r *http.Request) netip.Addr { return d.address(r) }

// WhoAsks returns who bears the token or key of a request, as WhoBears does.
func (d *Door) WhoAsks(ctx context.Context, r *http.Request) (chat.Actor, error) {
	token, _ := FromRequest(r)
	return d.WhoBears(ctx, token, d.address(r))
}

// WhoBears returns who bears a token or key that comes from an address. It fails with chat.ErrSignedOut for
// whatever lets nobody in, with ErrUnavailable if the keys of an issuer can't be had, as is logged where they are fetched, and
// with any other error if the database can't tell.
func (d *Door) WhoBears(ctx context.Context, token string, from netip.Addr) (chat.Actor, error) {
	ctx, cancel := context.WithTimeout(ctx, signInTime)
	defer cancel()
	if chat.IsPartnerKey(token) {
		actor, err := d.chat.SignedInByKey(ctx, token, from)
		if errors.Is(err, chat.ErrSignedOut) {
			d.logRefusal(ctx, token, from)
		}
		return actor, err
	}
	credential, err := d.verifier.Verify(ctx, token)
	switch {
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrExpired):
		d.logger.DebugContext(ctx, "a token is refused", "reason", err.Error())
		return chat.Actor{}, chat.ErrSignedOut
	case err != nil:
		return chat.Actor{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	actor, err := d.chat.SignedIn(ctx, credential)
	if errors.Is(err, chat.ErrSignedOut) {
		d.logger.DebugContext(ctx, "a token is refused", "reason", "it names nobody who may sign in: who is not at the clinic, at several of which it names none, deactivated or signed out")
	}
	return actor, err
}

// logRefusal tells operators who want to know why a key was refused. Nobody else hears of it, and keys that there are cost as
// much as others.
func (d *Door) logRefusal(ctx context.Context, token string, from netip.Addr) {
	if !d.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	id, reason, err := d.chat.WhyRefused(ctx, token, from)
	if err != nil {
		reason = "nobody can tell: " + chat.Describe(err)
	}
	attributes := []any{"reason", reason}
	if id != (chat.PartnerKeyID{}) {
		attributes = append(attributes, "key", typeid.Must(typeid.FromUUIDBytesWithPrefix(scalar.PartnerKey, id.UUID[:])).String())
	}
	d.logger.DebugContext(ctx, "a key is refused", attributes...)
}
