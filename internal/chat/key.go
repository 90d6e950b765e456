package chat

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// Scope is something that a partner key may be allowed.
type Scope string

// The scopes. schema.graphqls says what each opens.
const (
	ContactsRead       Scope = "CONTACTS_READ"
	RosterWrite        Scope = "ROSTER_WRITE"
	ConversationsRead  Scope = "CONVERSATIONS_READ"
	ConversationsWrite Scope = "CONVERSATIONS_WRITE"
	WebhooksWrite      Scope = "WEBHOOKS_WRITE"
)

// Scopes are all scopes.
var Scopes = []Scope{ContactsRead, RosterWrite, ConversationsRead, ConversationsWrite, WebhooksWrite}

// ParseScope reads a scope as people write it: contacts:read, or CONTACTS_READ.
func ParseScope(text string) (Scope, error) {
	scope := Scope(strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(text), ":", "_")))
	if slices.Contains(Scopes, scope) {
		return scope, nil
	}
	known := make([]string, len(Scopes))
	for i, scope := range Scopes {
		known[i] = scope.String()
	}
	return "", invalid("scopes", "The scopes are %s.", strings.Join(known, ", "))
}

// String is how people write the scope.
func (s Scope) String() string { return strings.Replace(strings.ToLower(string(s)), "_", ":", 1) }

// PartnerKeyState tells whether a key can be used.
type PartnerKeyState string

// The states of a key.
const (
	KeyActive  PartnerKeyState = "ACTIVE"
	KeyExpired PartnerKeyState = "EXPIRED"
	KeyRevoked PartnerKeyState = "REVOKED"
)

// PartnerKey is what a partner's program proves with who it is. It acts as a service account, within
// its scopes. The key itself is shown once and is not kept.
type PartnerKey struct {
	ID               PartnerKeyID `db:"id"`
	Name             string       `db:"name"`
	ServiceAccountID UserID       `db:"service_account_id"`
	// CreatedBy is nil for keys that an operator made.
	CreatedBy  *UserID    `db:"created_by"`
	CreatedAt  time.Time  `db:"created_at"`
	ExpiresAt  time.Time  `db:"expires_at"`
	RevokedAt  *time.Time `db:"revoked_at"`
	LastUsedAt *time.Time `db:"last_used_at"`
	// PredecessorID is of the key that it was made to replace, nil for one of its own.
	PredecessorID *PartnerKeyID `db:"predecessor_id"`
	// DocumentsOnly says that it runs nothing but what is registered for its service account.
	DocumentsOnly bool `db:"documents_only"`

	ScopeNames   pq.StringArray `db:"scopes"`
	NetworkNames pq.StringArray `db:"networks"`
}

// Scopes are what the key may be used for.
func (k PartnerKey) Scopes() []Scope { return scopesOf(k.ScopeNames) }

// Networks are from where the key may be used, in CIDR notation; from everywhere if there are none.
func (k PartnerKey) Networks() []string { return k.NetworkNames }

// State tells whether the key can be used.
func (k PartnerKey) State() PartnerKeyState {
	switch {
	case k.RevokedAt != nil:
		return KeyRevoked
	case !k.ExpiresAt.After(time.Now()):
		return KeyExpired
	}
	return KeyActive
}

// Position is the key's place in a list, for a cursor.
func (k PartnerKey) Position() []string { return []string{timePosition(k.CreatedAt), k.ID.String()} }

func scopesOf(names []string) []Scope {
	scopes := make([]Scope, len(names))
	for i, name := range names {
		scopes[i] = Scope(name)
	}
	return scopes
}

const keyColumns = `partner_keys.id, partner_keys.name, service_account_id, created_by, partner_keys.created_at, expires_at, revoked_at,
	last_used_at, predecessor_id, documents_only, scopes, networks::text[] AS networks`

// Grant is what an actor with a key may do.
type Grant struct {
	KeyID     PartnerKeyID
	Scopes    []Scope
	ExpiresAt time.Time
	// DocumentsOnly says that nothing but registered documents may be run, and DocumentRemovals grows when some are removed.
	DocumentsOnly    bool
	DocumentRemovals int64
}

// May tells whether the actor has what a scope opens: by their key, or without one as the person
// they are. People take part in conversations, and administrators do the rest.
func (a Actor) May(scope Scope) bool {
	switch {
	case a.Grant != nil:
		return slices.Contains(a.Grant.Scopes, scope)
	case scope == ConversationsRead || scope == ConversationsWrite:
		return true
	}
	return a.IsAdministrator
}

// keyPrefix begins every key, so that programs that look for secrets in the wrong places find them.
const keyPrefix = "corridor_"

// IsPartnerKey tells whether a bearer token looks like a partner key.
func IsPartnerKey(token string) bool { return strings.HasPrefix(token, keyPrefix) }

var keyEncoding = base64.RawURLEncoding.Strict()

// writeKey is the key as its partner gets it: the prefix, and behind it the id and the secret.
func writeKey(id PartnerKeyID, secret []byte) string {
	return keyPrefix + keyEncoding.EncodeToString(append(slices.Clone(id.UUID[:]), secret...))
}

// readKey reads what writeKey wrote.
func readKey(token string) (id PartnerKeyID, hash []byte, ok bool) {
	written, ok := strings.CutPrefix(token, keyPrefix)
	if !ok || len(written) != keyEncoding.EncodedLen(len(uuid.UUID{})+secretBytes) {
		return id, nil, false
	}
	read, err := keyEncoding.DecodeString(written)
	if err != nil {
		return id, nil, false
	}
	copy(id.UUID[:], read)
	sum := sha256.Sum256(read[len(id.UUID):])
	return id, sum[:], true
}

const secretBytes = 32

// newSecret makes the secret of a key, and what is kept of it.
func newSecret() (secret, hash []byte) {
	secret = make([]byte, secretBytes)
	_, _ = rand.Read(secret) // it never fails
	sum := sha256.Sum256(secret)
	return secret, sum[:]
}

// grantsOf joins keys that can be used with the actors who have them.
const grantsOf = `
	SELECT users.id AS "user.id", users.clinic_id AS "user.clinic_id", users.name AS "user.name",
		users.email AS "user.email", users.role_label AS "user.role_label", users.kind AS "user.kind",
		users.stream AS "user.stream", users.deactivated_at AS "user.deactivated_at", ` + clinicColumns + `,
		partner_keys.id AS key_id, scopes, expires_at, documents_only, coalesce(removals, 0) AS document_removals
	FROM partner_keys
	JOIN users ON users.id = service_account_id AND users.deactivated_at IS NULL
	JOIN clinics ON clinics.id = users.clinic_id
	LEFT JOIN document_sets ON document_sets.service_account_id = users.id
	WHERE revoked_at IS NULL AND expires_at > now()`

// grantRow is a row of grantsOf.
type grantRow struct {
	Actor
	KeyID     PartnerKeyID   `db:"key_id"`
	Names     pq.StringArray `db:"scopes"`
	ExpiresAt time.Time      `db:"expires_at"`

	DocumentsOnly    bool  `db:"documents_only"`
	DocumentRemovals int64 `db:"document_removals"`
}

func (r grantRow) actor() Actor {
	r.Grant = &Grant{
		KeyID: r.KeyID, Scopes: scopesOf(r.Names), ExpiresAt: r.ExpiresAt,
		DocumentsOnly: r.DocumentsOnly, DocumentRemovals: r.DocumentRemovals,
	}
	return r.Actor
}

// SignedInByKey returns the actor of a partner key that is used from an address. It fails with ErrSignedOut
// for every key that can't be used, from there, now.
func (s *Service) SignedInByKey(ctx context.Context, token string, from netip.Addr) (Actor, error) {
	id, hash, ok := readKey(token)
	if !ok {
		return Actor{}, ErrSignedOut
	}
	const here = `AND partner_keys.id = $1 AND secret_sha256 = $2
		AND (networks = '{}' OR EXISTS (SELECT FROM unnest(networks) AS network WHERE $3::inet <<= network))`
	const query = `
		WITH due AS (
			SELECT id FROM partner_keys
			WHERE revoked_at IS NULL AND expires_at > now() ` + here + `
				AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
			FOR NO KEY UPDATE SKIP LOCKED -- who administers the key does not hold up who uses it
		), used AS (
			UPDATE partner_keys SET last_used_at = now() FROM due WHERE partner_keys.id = due.id
		)` + grantsOf + here
	var row grantRow
	err := s.db.GetContext(ctx, &row, query, id, hash, from.Unmap().String())
	if errors.Is(err, sql.ErrNoRows) {
		return Actor{}, ErrSignedOut
	}
	if err != nil {
		return Actor{}, fmt.Errorf("look up the key: %w", err)
	}
	return row.actor(), nil
}

// WhyRefused tells operators why SignedInByKey refuses a key, and its id if it is one that there is.
func (s *Service) WhyRefused(ctx context.Context, token string, from netip.Addr) (id PartnerKeyID, reason string, err error) {
	shown, hash, ok := readKey(token)
	if !ok {
		return id, "it is not written as keys are", nil
	}
	const query = `
		SELECT partner_keys.id, CASE
			WHEN secret_sha256 <> $2 THEN 'its secret is another'
			WHEN revoked_at IS NOT NULL THEN 'it was revoked'
			WHEN expires_at <= now() THEN 'its time is over'
			WHEN users.deactivated_at IS NOT NULL THEN 'its account is deactivated'
			WHEN networks <> '{}' AND NOT EXISTS (SELECT FROM unnest(networks) AS network WHERE $3::inet <<= network) THEN 'it may not be used from this network'
			ELSE 'it was refused a moment ago, and would not be now' END AS reason
		FROM partner_keys JOIN users ON users.id = service_account_id WHERE partner_keys.id = $1`
	var found struct {
		ID     PartnerKeyID `db:"id"`
		Reason string       `db:"reason"`
	}
	err = s.db.GetContext(ctx, &found, query, shown, hash, from.Unmap().String())
	if errors.Is(err, sql.ErrNoRows) {
		return id, "there is no such key", nil
	}
	if err != nil {
		return id, "", fmt.Errorf("find out why a key is refused: %w", err)
	}
	return found.ID, found.Reason, nil
}

// Granted returns the actors of keys by their ids. Of keys that can't be used any more there is none.
func (s *Service) Granted(ctx context.Context, ids []PartnerKeyID) (map[PartnerKeyID]Actor, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []grantRow
	if err := s.db.SelectContext(ctx, &rows, grantsOf+` AND partner_keys.id = ANY ($1)`, array(ids)); err != nil {
		return nil, fmt.Errorf("look up the keys: %w", err)
	}
	actors := make(map[PartnerKeyID]Actor, len(rows))
	for _, row := range rows {
		actors[row.KeyID] = row.actor()
	}
	return actors, nil
}

// administers refuses whoever administers nothing: to them it does not exist.
func administers(actor Actor, what, field string) error {
	if actor.Grant != nil || !actor.IsAdministrator {
		return notFound(what, field)
	}
	return nil
}

// PartnerKeys returns a page of the keys of the actor's clinic, the newest first. It is for administrators.
func (s *Service) PartnerKeys(ctx context.Context, actor Actor, page Forward) (Page[PartnerKey], error) {
	if err := administers(actor, "clinic", "clinic"); err != nil {
		return Page[PartnerKey]{}, err
	}
	micros, id, err := page.afterTime()
	if err != nil {
		return Page[PartnerKey]{}, err
	}
	const query = `
		SELECT ` + keyColumns + ` FROM partner_keys
		WHERE clinic_id = $1 AND ($2::bigint IS NULL
			OR (partner_keys.created_at, partner_keys.id) < ('epoch'::timestamptz + $2 * interval '1 microsecond', $3::uuid))
		ORDER BY partner_keys.created_at DESC, partner_keys.id DESC LIMIT $4`
	var keys []PartnerKey
	if err := s.find(ctx, &keys, query, actor.Clinic.ID, micros, id, page.First+1); err != nil {
		return Page[PartnerKey]{}, fmt.Errorf("partner keys: %w", err)
	}
	return forward(keys, page), nil
}

// Position is the person's place in a list by name, for a cursor.
func (u User) Position() []string { return []string{u.Name, u.ID.String()} }

// KeyScopes returns the sets of scopes that keys of a service account have which can be used. It is for operators.
func (s *Service) KeyScopes(ctx context.Context, actor Actor, account UserID) ([][]Scope, error) {
	if err := administers(actor, "service account", "serviceAccount"); err != nil {
		return nil, err
	}
	const query = `
		SELECT DISTINCT scopes FROM partner_keys
		WHERE service_account_id = $1 AND clinic_id = $2 AND revoked_at IS NULL AND expires_at > now()`
	var sets []pq.StringArray
	if err := s.db.SelectContext(ctx, &sets, query, account, actor.Clinic.ID); err != nil {
		return nil, fmt.Errorf("scopes of keys: %w", err)
	}
	scopes := make([][]Scope, len(sets))
	for i, names := range sets {
		scopes[i] = scopesOf(names)
	}
	return scopes, nil
}

// partnerKey returns a key of the actor's clinic.
func (s *Service) partnerKey(ctx context.Context, actor Actor, id PartnerKeyID) (*PartnerKey, error) {
	found, err := s.PartnerKeysByID(ctx, actor, []PartnerKeyID{id})
	key, ok := found[id]
	if err == nil && !ok {
		err = notFound("key", "keyId")
	}
	if err != nil {
		return nil, err
	}
	return &key, nil
}

// PartnerKeysByID returns those of the keys that are of the actor's clinic. It is for administrators.
func (s *Service) PartnerKeysByID(ctx context.Context, actor Actor, ids []PartnerKeyID) (map[PartnerKeyID]PartnerKey, error) {
	if err := administers(actor, "key", "keyId"); err != nil {
		return nil, err
	}
	const query = `SELECT ` + keyColumns + ` FROM partner_keys WHERE id = ANY ($1) AND clinic_id = $2`
	var keys []PartnerKey
	if err := s.find(ctx, &keys, query, array(ids), actor.Clinic.ID); err != nil {
		return nil, fmt.Errorf("find keys: %w", err)
	}
	return byKey(keys, func(k PartnerKey) PartnerKeyID { return k.ID }), nil
}

// The limits of keys.
const (
	maxKeyAge      = 2 * 366 * 24 * time.Hour
	defaultKeyAge  = 365 * 24 * time.Hour
	maxKeyOverlap  = 7 * 24 * time.Hour
	maxKeyNetworks = 20
	// maxKeys bounds the keys of a clinic that can be used at a time.
	maxKeys = 200
)

// CreatePartnerKeyInput says what a key is for.
type CreatePartnerKeyInput struct {
	ClientKey        string
	ServiceAccountID UserID
	Name             string
	Scopes           []Scope
	Networks         []string
	DocumentsOnly    bool
	ExpiresAt        *time.Time
}

// CreatePartnerKey makes a key for a service account. The secret is the key as the partner gets it: it is empty when the
// call is repeated. It is for administrators.
func (s *Service) CreatePartnerKey(ctx context.Context, actor Actor, in CreatePartnerKeyInput) (key *PartnerKey, secret string, err error) {
	if err := administers(actor, "service account", "serviceAccountId"); err != nil {
		return nil, "", err
	}
	return s.giveKey(ctx, actor, "createPartnerKey", in.ClientKey, in, func(ctx context.Context, tx *transaction) (PartnerKeyID, string, error) {
		return makeKey(ctx, tx, in, nil)
	})
}

// giveKey does a change that makes a key, and returns the key with its secret, which only the attempt knows that was committed.
func (s *Service) giveKey(ctx context.Context, actor Actor, operation, clientKey string, in any,
	act func(ctx context.Context, tx *transaction) (PartnerKeyID, string, error),
) (key *PartnerKey, secret string, err error) {
	id, err := changeIn(ctx, lane{clinic: actor.Clinic.Name}, s, actor, operation, clientKey, in, func(ctx context.Context, tx *transaction) (PartnerKeyID, error) {
		id, made, err := act(ctx, tx)
		tx.committed = func() { secret = made }
		return id, err
	})
	if err != nil {
		return nil, "", err
	}
	key, err = s.partnerKey(ctx, actor, id)
	return key, secret, err
}

// makeKey makes a key of the actor's clinic, maybe in place of another one.
func makeKey(ctx context.Context, tx *transaction, in CreatePartnerKeyInput, predecessor *PartnerKeyID) (id PartnerKeyID, key string, err error) {
	name, refused := clean("name", strings.TrimSpace(in.Name), MaxGroupName, "")
	switch {
	case refused != nil:
		return id, "", refused
	case blank(name):
		return id, "", invalid("name", "A key needs a name.")
	case len(in.Scopes) == 0:
		return id, "", invalid("scopes", "A key without scopes opens nothing: name at least one.")
	}
	scopes := slices.Clone(in.Scopes)
	slices.SortFunc(scopes, func(a, b Scope) int { return slices.Index(Scopes, a) - slices.Index(Scopes, b) })
	networks, err := validNetworks(in.Networks)
	if err != nil {
		return id, "", err
	}
	expires := time.Now().Add(defaultKeyAge)
	if in.ExpiresAt != nil {
		expires = *in.ExpiresAt
	}
	if left := time.Until(expires); left <= 0 || left > maxKeyAge {
		return id, "", invalid("expiresAt", "A key ends in the future, within two years.")
	}
	// The clinic's row keeps two who make keys from passing the limit together.
	const count = `
		SELECT (SELECT count(*) FROM partner_keys WHERE clinic_id = clinics.id AND revoked_at IS NULL AND expires_at > now())
		FROM clinics WHERE id = $1 FOR NO KEY UPDATE`
	var keys int
	if err := tx.GetContext(ctx, &keys, count, tx.actor.Clinic.ID); err != nil {
		return id, "", fmt.Errorf("count the keys: %w", err)
	}
	if keys >= maxKeys {
		return id, "", refuse(CodeTooManyKeys, "A clinic has at most %d keys: revoke one first.", maxKeys)
	}
	id = PartnerKeyID{newID()}
	sent, hash := newSecret()
	const insert = `
		INSERT INTO partner_keys (id, clinic_id, service_account_id, name, secret_sha256, scopes, networks, created_by, expires_at, documents_only, predecessor_id)
		SELECT $1, clinic_id, users.id, $4, $5, $6, $7::text[]::cidr[], $8, $9, $10, $11 FROM users
		WHERE users.id = $3 AND clinic_id = $2 AND kind = 'SERVICE' AND deactivated_at IS NULL`
	made, err := tx.updates(ctx, insert, id, tx.actor.Clinic.ID, in.ServiceAccountID, name, hash, array(slices.Compact(scopes)), array(networks),
		tx.actor.byWhom(), expires, in.DocumentsOnly, predecessor)
	if err != nil {
		return id, "", err
	}
	if !made {
		return id, "", notFound("service account", "serviceAccountId")
	}
	return id, writeKey(id, sent), nil
}

// byWhom is who does something, nil for an operator.
func (a Actor) byWhom() *UserID {
	if a.isOperator() {
		return nil
	}
	return &a.User.ID
}

// validNetworks reads networks in CIDR notation. An address is a network of its own.
func validNetworks(given []string) ([]string, error) {
	if len(given) > maxKeyNetworks {
		return nil, invalid("networks", "A key has at most %d networks.", maxKeyNetworks)
	}
	networks := make([]string, 0, len(given))
	for _, text := range given {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			address, failed := netip.ParseAddr(text)
			if failed != nil || address.Zone() != "" {
				return nil, invalid("networks", "A network is written as 192.0.2.0/24 or 2001:db8::/32, or as one address.")
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		if network.Addr().Is4In6() {
			return nil, invalid("networks", "Write the network of IPv4 addresses as 192.0.2.0/24.")
		}
		networks = append(networks, network.Masked().String())
	}
	return networks, nil
}

// RotatePartnerKeyInput says which key gets a successor, and for how long it is still good.
type RotatePartnerKeyInput struct {
	ClientKey      string
	KeyID          PartnerKeyID
	OverlapMinutes int
	ExpiresAt      *time.Time
}

// RotatePartnerKey makes a key like another one, which ends after an overlap. It is for administrators.
func (s *Service) RotatePartnerKey(ctx context.Context, actor Actor, in RotatePartnerKeyInput) (key *PartnerKey, secret string, err error) {
	if err := administers(actor, "key", "keyId"); err != nil {
		return nil, "", err
	}
	return s.giveKey(ctx, actor, "rotatePartnerKey", in.ClientKey, in, func(ctx context.Context, tx *transaction) (PartnerKeyID, string, error) {
		return rotateKey(ctx, tx, in)
	})
}

func rotateKey(ctx context.Context, tx *transaction, in RotatePartnerKeyInput) (PartnerKeyID, string, error) {
	overlap := time.Duration(in.OverlapMinutes) * time.Minute
	if overlap < 0 || overlap > maxKeyOverlap {
		return PartnerKeyID{}, "", invalid("overlapMinutes", "The old key stays good for 0 to %d minutes, which is a week.", maxKeyOverlap/time.Minute)
	}
	// First the clinic, which may be locked for long: programs that use the key must not wait for it.
	if _, err := lockClinic(ctx, tx.Tx, tx.actor.Clinic.Name); err != nil {
		return PartnerKeyID{}, "", err
	}
	old, err := lockKey(ctx, tx, in.KeyID)
	if err != nil {
		return PartnerKeyID{}, "", err
	}
	if old.State() != KeyActive {
		return PartnerKeyID{}, "", refuse(CodeKeyEnded, "This key has ended: make a new one.").of("keyId")
	}
	const succeeded = `
		WITH RECURSIVE successors AS (
			SELECT id, revoked_at IS NULL AND expires_at > now() AS good FROM partner_keys WHERE predecessor_id = $1
			UNION ALL
			SELECT partner_keys.id, revoked_at IS NULL AND expires_at > now() FROM successors JOIN partner_keys ON predecessor_id = successors.id
		)
		SELECT EXISTS (SELECT FROM successors WHERE good)`
	var replaced bool
	if err := tx.GetContext(ctx, &replaced, succeeded, old.ID); err != nil {
		return PartnerKeyID{}, "", fmt.Errorf("find the successor: %w", err)
	}
	if replaced {
		return PartnerKeyID{}, "", refuse(CodeKeyReplaced, "This key has a successor that can be used: take that one, or revoke it first if it was lost.").of("keyId")
	}
	const ends = `UPDATE partner_keys SET expires_at = least(expires_at, now() + $2 * interval '1 second') WHERE id = $1`
	if _, err := tx.ExecContext(ctx, ends, old.ID, overlap.Seconds()); err != nil {
		return PartnerKeyID{}, "", fmt.Errorf("end the old key: %w", err)
	}
	return makeKey(ctx, tx, CreatePartnerKeyInput{
		ServiceAccountID: old.ServiceAccountID, Name: old.Name, Scopes: old.Scopes(), Networks: old.Networks(), DocumentsOnly: old.DocumentsOnly,
		ExpiresAt: in.ExpiresAt,
	}, &old.ID)
}

// RevokePartnerKeyInput says which key ends.
type RevokePartnerKeyInput struct {
	ClientKey string
	KeyID     PartnerKeyID
}

// RevokePartnerKey ends a key at once, with what is open by it. It is for administrators.
func (s *Service) RevokePartnerKey(ctx context.Context, actor Actor, in RevokePartnerKeyInput) (*PartnerKey, error) {
	if err := administers(actor, "key", "keyId"); err != nil {
		return nil, err
	}
	id, err := change(ctx, s, actor, "revokePartnerKey", in.ClientKey, in, func(ctx context.Context, tx *transaction) (PartnerKeyID, error) {
		return in.KeyID, revokeKey(ctx, tx, in.KeyID)
	})
	if err != nil {
		return nil, err
	}
	return s.partnerKey(ctx, actor, id)
}

func revokeKey(ctx context.Context, tx *transaction, id PartnerKeyID) error {
	if _, err := lockKey(ctx, tx, id); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE partner_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1`, id)
	if err != nil {
		return fmt.Errorf("revoke the key: %w", err)
	}
	return nil
}

func lockKey(ctx context.Context, tx *transaction, id PartnerKeyID) (*PartnerKey, error) {
	const query = `SELECT ` + keyColumns + ` FROM partner_keys WHERE id = $1 AND clinic_id = $2 FOR UPDATE`
	var key PartnerKey
	err := tx.GetContext(ctx, &key, query, id, tx.actor.Clinic.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("key", "keyId")
	}
	if err != nil {
		return nil, fmt.Errorf("find the key: %w", err)
	}
	return &key, nil
}
