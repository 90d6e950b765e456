package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Who may do something in a group.
type Who string

// The answers to "who may?".
const (
	AnyParticipant Who = "ANY_PARTICIPANT"
	OwnerOnly      Who = "OWNER_ONLY"
)

// Clinic is the tenant: a hard wall around its people, rooms and conversations.
type Clinic struct {
	ID   ClinicID `db:"id"`
	Name string   `db:"name"`
	// Stream is of the changes of its directory.
	Stream int64 `db:"stream"`
	Policy
}

// Policy is what a clinic decides for itself. The defaults are those of a new clinic.
type Policy struct {
	// ManageParticipants says who may add people to a group and remove them (E5).
	ManageParticipants Who `db:"manage_participants"`
	// RenameGroup says who may rename a group (E29).
	RenameGroup Who `db:"rename_group"`
	// HistoryChoice lets whoever adds a person choose how much of the history they see (E6, E7).
	HistoryChoice bool `db:"history_choice"`
	// StrictDirect makes a direct conversation read-only while the two share no waiting room (E12).
	StrictDirect bool `db:"strict_direct"`
	// RemoveOnRoomExit removes people from groups in which they share no waiting room with anybody
	// any more (E13).
	RemoveOnRoomExit bool `db:"remove_on_room_exit"`
	// KeepArchived leaves archived conversations archived when a message arrives (E14).
	KeepArchived bool `db:"keep_archived"`
	// GroupSizeLimit is how many people a group holds (E42).
	GroupSizeLimit int `db:"group_size_limit"`
	// RetentionDays is how long the content of a deleted group is kept before it is purged (E22).
	RetentionDays int `db:"retention_days"`
	// LegalHold stops all purging (E22).
	LegalHold bool `db:"legal_hold"`
	// FileQuota is how many megabytes of files the clinic may have; 0 is none at all.
	FileQuota int `db:"file_quota"`
	// SupportContact is whom people turn to for help (S63).
	SupportContact string `db:"support_contact"`
}

const clinicColumns = `clinics.id AS "clinic.id", clinics.name AS "clinic.name", clinics.stream AS "clinic.stream",
	manage_participants AS "clinic.manage_participants", rename_group AS "clinic.rename_group",
	history_choice AS "clinic.history_choice", strict_direct AS "clinic.strict_direct",
	remove_on_room_exit AS "clinic.remove_on_room_exit", keep_archived AS "clinic.keep_archived",
	group_size_limit AS "clinic.group_size_limit", retention_days AS "clinic.retention_days",
	legal_hold AS "clinic.legal_hold", file_quota AS "clinic.file_quota", support_contact AS "clinic.support_contact"`

// Clinics returns all clinics by name. It is for operators: it has no actor.
func (s *Service) Clinics(ctx context.Context) ([]Clinic, error) {
	var found []struct{ Clinic Clinic }
	err := s.db.SelectContext(ctx, &found, `SELECT `+clinicColumns+` FROM clinics ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("clinics: %w", err)
	}
	clinics := make([]Clinic, len(found))
	for i, f := range found {
		clinics[i] = f.Clinic
	}
	return clinics, nil
}

// Operator returns the actor that administers the clinic of that name on behalf of who runs the server.
func (s *Service) Operator(ctx context.Context, clinic string) (Actor, error) {
	var found struct{ Clinic Clinic }
	err := s.db.GetContext(ctx, &found, `SELECT `+clinicColumns+` FROM clinics WHERE name = $1`, clinic)
	if errors.Is(err, sql.ErrNoRows) {
		return Actor{}, notFound("clinic", "clinic")
	}
	if err != nil {
		return Actor{}, fmt.Errorf("find the clinic: %w", err)
	}
	return Actor{Clinic: found.Clinic, IsAdministrator: true}, nil
}

// SetAdministrator lets somebody administer their clinic, or not any more. It is for operators: it has no actor.
func (s *Service) SetAdministrator(ctx context.Context, user User, administrator bool) error {
	_, err := s.db.ExecContext(ctx, `UPDATE users SET administrator = $2 WHERE id = $1`, user.ID, administrator)
	if err != nil {
		return fmt.Errorf("set the administrator: %w", err)
	}
	return nil
}

// Administrators returns a page of those who administer the actor's clinic, by name, also of those who are deactivated and would again if
// they came back. It is for administrators.
func (s *Service) Administrators(ctx context.Context, actor Actor, page Forward) (Page[User], error) {
	return s.usersWho(ctx, actor, page, `administrator`)
}

// FindUser returns the person with an e-mail address at the clinic of that name, or at any clinic
// if it is empty. Of somebody who is deactivated at only one it fails with PERSON_UNAVAILABLE, and returns them all the same. It is for
// operators: it has no actor.
func (s *Service) FindUser(ctx context.Context, email, clinic string) (User, error) {
	address, refused := clean("email", strings.ToLower(strings.TrimSpace(email)), MaxEmail, "")
	if refused != nil {
		return User{}, refused
	}
	const query = `
		SELECT ` + userColumns + `, clinics.name AS clinic_name
		FROM users JOIN clinics ON clinics.id = users.clinic_id
		WHERE email = $1 AND ($2 = '' OR clinics.name = $2) AND kind <> 'SERVICE'
		ORDER BY deactivated_at IS NOT NULL, clinics.name`
	var found []struct {
		User
		ClinicName string `db:"clinic_name"`
	}
	if err := s.db.SelectContext(ctx, &found, query, address, clinic); err != nil {
		return User{}, fmt.Errorf("find a person: %w", err)
	}
	var clinics []string
	for _, person := range found {
		if person.IsActive() {
			clinics = append(clinics, person.ClinicName)
		}
	}
	switch {
	case len(clinics) == 1:
		return found[0].User, nil
	case len(clinics) > 1:
		return User{}, invalid("clinic", "%s works at several clinics: %s.", address, strings.Join(clinics, "; "))
	case len(found) == 1:
		return found[0].User, refuse(CodePersonUnavailable, "%s is deactivated at %s: a roster that lists them brings them back.", address, found[0].ClinicName)
	case len(found) > 0:
		return User{}, refuse(CodePersonUnavailable, "%s is deactivated at %s: a roster that lists them brings them back.", address, found[0].ClinicName)
	case clinic != "":
		return User{}, refuse(CodeNotFound, "Nobody at a clinic named %q has the e-mail address %s.", clinic, address)
	}
	return User{}, refuse(CodeNotFound, "Nobody has the e-mail address %s.", address)
}

// SetPolicy changes what the clinic of that name decides, and returns the clinic. It is for
// operators: it has no actor.
func (s *Service) SetPolicy(ctx context.Context, clinic string, change func(*Policy)) (Clinic, error) {
	var changed Clinic
	err := s.transactIn(ctx, lane{clinic: clinic}, Actor{}, func(ctx context.Context, tx *transaction) error {
		found, err := lockClinic(ctx, tx.Tx, clinic)
		if err != nil {
			return err
		}
		change(&found.Policy)
		if err := found.valid(); err != nil {
			return err
		}
		const query = `
			UPDATE clinics SET manage_participants = :manage_participants, rename_group = :rename_group,
				history_choice = :history_choice, strict_direct = :strict_direct,
				remove_on_room_exit = :remove_on_room_exit, keep_archived = :keep_archived,
				group_size_limit = :group_size_limit, retention_days = :retention_days,
				legal_hold = :legal_hold, file_quota = :file_quota, support_contact = :support_contact
			WHERE id = :id`
		if _, err := tx.NamedExecContext(ctx, query, found); err != nil {
			return fmt.Errorf("set the policy: %w", err)
		}
		changed = found
		return nil
	})
	return changed, err
}

// maxFileQuota is in megabytes.
const maxFileQuota = 100_000_000

func (p Policy) valid() error {
	for field, who := range map[string]Who{"manageParticipants": p.ManageParticipants, "renameGroup": p.RenameGroup} {
		if who != AnyParticipant && who != OwnerOnly {
			return invalid(field, "The value is %s or %s.", AnyParticipant, OwnerOnly)
		}
	}
	if p.GroupSizeLimit < 2 || p.GroupSizeLimit > 1000 {
		return invalid("groupSizeLimit", "A group holds from 2 to 1000 people.")
	}
	if p.RetentionDays < 0 || p.RetentionDays > 36500 {
		return invalid("retentionDays", "Deleted groups are kept from 0 to 36500 days.")
	}
	if p.FileQuota < 0 || p.FileQuota > maxFileQuota {
		return invalid("fileQuota", "A clinic has from 0 to %d megabytes of files.", maxFileQuota)
	}
	if _, err := clean("supportContact", p.SupportContact, MaxName, ""); err != nil {
		return err
	}
	return nil
}

// lockClinic finds a clinic by its name and keeps others from changing it or its roster.
func lockClinic(ctx context.Context, tx *sqlx.Tx, name string) (Clinic, error) {
	var found struct{ Clinic Clinic }
	err := tx.GetContext(ctx, &found, `SELECT `+clinicColumns+` FROM clinics WHERE name = $1 FOR NO KEY UPDATE`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return Clinic{}, notFound("clinic", "clinic")
	}
	if err != nil {
		return Clinic{}, fmt.Errorf("find the clinic: %w", err)
	}
	return found.Clinic, nil
}

// Purge erases the content of groups that were deleted longer ago than their clinic keeps it, and
// returns how many groups that were (E22).
func (s *Service) Purge(ctx context.Context) (purged int64, err error) {
	const query = `
		WITH due AS (
			UPDATE conversations SET purged_at = now(), name = ''
			WHERE id IN (
				SELECT conversations.id FROM conversations JOIN clinics ON clinics.id = clinic_id
				WHERE NOT legal_hold AND deleted_at < now() - retention_days * interval '1 day' AND purged_at IS NULL
				LIMIT $1)
			RETURNING id
		), forgotten AS (
			UPDATE participants SET left_name = '' WHERE conversation_id IN (SELECT id FROM due) AND left_name IS NOT NULL
		), erased AS (
			DELETE FROM messages WHERE conversation_id IN (SELECT id FROM due) RETURNING sender_id, client_key
		), unfiled AS (
			UPDATE files SET state = 'REMOVED' WHERE conversation_id IN (SELECT id FROM due) AND state <> 'REMOVED'
		), unkeyed AS (
			-- What was sent could be guessed from its hash. The key stays used.
			UPDATE client_keys SET fingerprint = '' FROM erased
			WHERE user_id = sender_id AND key = erased.client_key
		)
		SELECT count(*) FROM due`
	if err := s.purgeRosters(ctx); err != nil {
		return 0, err
	}
	for {
		n, err := s.purge(ctx, query)
		if purged += n; err != nil || n < purgeAtOnce {
			return purged, err
		}
	}
}

// purgeAtOnce bounds one transaction of a purge.
const purgeAtOnce = 50

func (s *Service) purge(ctx context.Context, query string) (purged int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := s.db.GetContext(ctx, &purged, query, purgeAtOnce); err != nil {
		return 0, fmt.Errorf("purge deleted groups: %w", err)
	}
	return purged, nil
}
