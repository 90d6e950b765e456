package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/internal/postgres"
)

const (
	// sweepAtOnce bounds one step of a sweep.
	sweepAtOnce = 100
	// orphanAge is how old a folder must be that no file knows: whoever makes one has written down the file before.
	orphanAge = 24 * time.Hour
	// sweepLock is the advisory lock of whoever sweeps.
	sweepLock = 0x66696c6573 // "files"
)

// SweepFiles removes the files that nobody will see again, with their bytes: those that no message refers to
// after a day, and those of recalled messages and deleted groups once their clinic does not keep them any
// longer (E22). It returns how many that were.
func (s *Service) SweepFiles(ctx context.Context) (removed int, err error) {
	if s.files == nil {
		return 0, nil
	}
	owner, err := s.files.owner(ctx)
	if err != nil {
		return 0, fmt.Errorf("read whose store it is: %w", err)
	}
	if owner != s.files.database {
		return 0, ErrAnotherStore
	}
	for {
		n, err := s.sweepFiles(ctx)
		removed += n
		if err != nil || n < sweepAtOnce {
			return removed, errors.Join(err, s.sweepLeftovers(ctx), s.sweepOrphans(ctx))
		}
	}
}

func (s *Service) sweepFiles(ctx context.Context) (removed int, err error) {
	const query = `
		WITH due AS (
			(SELECT id FROM files WHERE message_id IS NULL AND state <> 'REMOVED' AND created_at < now() - $2 * interval '1 second' LIMIT $1)
			UNION ALL
			(SELECT files.id FROM messages JOIN files ON message_id = messages.id JOIN clinics ON clinics.id = files.clinic_id
				WHERE recalled_at < now() - retention_days * interval '1 day' AND NOT legal_hold AND files.state <> 'REMOVED' LIMIT $1)
		)
		UPDATE files SET state = 'REMOVED'
		FROM (SELECT id, message_id FROM files WHERE id IN (SELECT id FROM due) ORDER BY id FOR UPDATE) AS locked
		WHERE files.id = locked.id
			-- It may have been sent since it was found.
			AND (files.message_id IS NOT NULL) = (locked.message_id IS NOT NULL)`
	err = postgres.InTx(ctx, s.db, func(tx *sqlx.Tx) error {
		var alone bool
		if err := tx.GetContext(ctx, &alone, `SELECT pg_try_advisory_xact_lock($1)`, sweepLock); err != nil || !alone {
			return err
		}
		_, err := tx.ExecContext(ctx, query, sweepAtOnce, unattachedTime.Seconds())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find files that are over: %w", err)
	}
	// Of a process that ended before it had removed them, too.
	var gone []FileID
	if err := s.db.SelectContext(ctx, &gone, `SELECT id FROM files WHERE state = 'REMOVED' ORDER BY id LIMIT $1`, sweepAtOnce); err != nil {
		return 0, fmt.Errorf("find removed files: %w", err)
	}
	return len(gone), s.removeFiles(ctx, gone)
}

// removeFiles removes the bytes of files that are removed, and then their rows.
func (s *Service) removeFiles(ctx context.Context, ids []FileID) error {
	for _, id := range ids {
		for _, folder := range []string{id.String() + piecesFolder, id.String()} {
			if err := s.files.Store.RemoveAll(ctx, folder); err != nil {
				return fmt.Errorf("remove the bytes of a file: %w", err)
			}
		}
	}
	if _, err := s.db.ExecContext(ctx, `DELETE FROM files WHERE id = ANY ($1) AND state = 'REMOVED'`, array(ids)); err != nil {
		return fmt.Errorf("remove files: %w", err)
	}
	return nil
}

// sweepLeftovers does what processes that ended at a bad moment have left to do.
func (s *Service) sweepLeftovers(ctx context.Context) error {
	var infected []FileID
	const query = `SELECT id FROM files WHERE scan = 'INFECTED' AND content IS NOT NULL LIMIT $1`
	if err := s.db.SelectContext(ctx, &infected, query, sweepAtOnce); err != nil {
		return fmt.Errorf("find infected files: %w", err)
	}
	const pieces = `DELETE FROM file_pieces USING files WHERE files.id = file_id AND state <> 'UPLOADING'`
	if _, err := s.db.ExecContext(ctx, pieces); err != nil {
		return fmt.Errorf("forget the pieces of whole files: %w", err)
	}
	return s.removeInfected(ctx, infected)
}

// sweepOrphans removes bytes that no file needs, as of a process that ended at a bad moment.
func (s *Service) sweepOrphans(ctx context.Context) error {
	old := time.Now().Add(-orphanAge)
	var folders []string
	for folder, err := range s.files.Store.Folders(ctx) {
		if err != nil {
			return fmt.Errorf("look for bytes without a file: %w", err)
		}
		if !folder.Changed.Before(old) {
			continue
		}
		if folders = append(folders, folder.Name); len(folders) == sweepAtOnce {
			if err := s.removeOrphans(ctx, folders); err != nil {
				return err
			}
			folders = folders[:0]
		}
	}
	return s.removeOrphans(ctx, folders)
}

func (s *Service) removeOrphans(ctx context.Context, folders []string) error {
	ids := make([]uuid.UUID, len(folders))
	for i, folder := range folders {
		ids[i], _ = uuid.Parse(strings.TrimSuffix(folder, piecesFolder)) // what is not ours is nobody's
	}
	var needed []string
	const query = `SELECT id || CASE WHEN state = 'UPLOADING' THEN $2 ELSE '' END FROM files WHERE id = ANY ($1)`
	if err := s.db.SelectContext(ctx, &needed, query, array(ids), piecesFolder); err != nil {
		return fmt.Errorf("look for bytes without a file: %w", err)
	}
	for i, folder := range folders {
		if ids[i] == uuid.Nil || slices.Contains(needed, folder) {
			continue
		}
		if err := s.files.Store.RemoveAll(ctx, folder); err != nil {
			return fmt.Errorf("remove bytes without a file: %w", err)
		}
	}
	return nil
}
