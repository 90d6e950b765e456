package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"corridor/internal/clamav"
	"corridor/internal/eventlog"
)

const (
	// scanEvery is how often files are looked for that nobody has searched: those of another process that ended,
	// and those of a time without a scanner.
	scanEvery = 2 * time.Second
	// scanTime bounds the search of one file, after which another process may try.
	scanTime = 5 * time.Minute
	// scanAttempts is how often a file is tried while the scanner is away, about a day, until it counts as not
	// searchable.
	scanAttempts = 300
	// clamavLimits begins what ClamAV finds in a file of which it saw only a part, if it is told to say so.
	clamavLimits = "Heuristics.Limits.Exceeded"
)

// ScanFiles searches files for malware until ctx ends, if there is a scanner. Until it is found clean nobody
// gets a file.
func (s *Service) ScanFiles(ctx context.Context) error {
	if !s.files.scans() {
		return nil
	}
	every := time.NewTicker(scanEvery)
	defer every.Stop()
	for {
		more, err := s.scanNext(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.logger.WarnContext(ctx, "a file is not searched for malware yet", "error", Describe(err))
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.files.toScan:
		case <-every.C:
		}
	}
}

// scanNext searches one file, if any is due.
func (s *Service) scanNext(ctx context.Context) (more bool, err error) {
	// Nobody else takes it for as long as that may take.
	const take = `
		UPDATE files SET scan = 'PENDING', scan_attempts = scan_attempts + 1, scan_at = now() + $1 * interval '1 second'
		WHERE id = (
			SELECT id FROM files WHERE state = 'READY' AND (scan IS NULL OR scan = 'PENDING') AND scan_at <= now()
			ORDER BY scan_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING id, content, scan_attempts`
	var due struct {
		ID       FileID
		Content  string
		Attempts int `db:"scan_attempts"`
	}
	err = s.db.GetContext(ctx, &due, take, scanTime.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find a file to search: %w", err)
	}
	found, err := s.scan(ctx, blobName(due.ID, due.Content))
	if err != nil && due.Attempts < scanAttempts {
		const again = `
			UPDATE files SET scan_at = now() + least(scan_attempts * scan_attempts, 300) * interval '1 second'
			WHERE id = $1 AND scan = 'PENDING'`
		_, failed := s.db.ExecContext(context.WithoutCancel(ctx), again, due.ID)
		return true, errors.Join(err, failed)
	}
	if err != nil {
		found = ScanFailed
	}
	return true, s.scanned(ctx, due.ID, found)
}

// scan searches the bytes of a file. An error means that it can be tried again.
func (s *Service) scan(ctx context.Context, name string) (FileScan, error) {
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	content, err := s.files.Store.Open(ctx, name, 0)
	if err != nil {
		return "", err
	}
	defer content.Close()
	signature, err := s.files.Scanner.Scan(ctx, content)
	switch {
	case errors.Is(err, clamav.ErrRefused):
		s.logger.WarnContext(ctx, "a file can't be searched for malware", "error", err)
		return ScanFailed, nil
	case err != nil:
		return "", err
	case strings.HasPrefix(signature, clamavLimits):
		s.logger.WarnContext(ctx, "a file can't be searched for malware to its end", "limit", signature)
		return ScanFailed, nil
	case signature != "":
		s.logger.WarnContext(ctx, "malware was found in a file", "signature", signature)
		return ScanInfected, nil
	}
	return ScanClean, nil
}

// scanned writes down what was found of a file, and tells those who see it. What is infected is not kept.
func (s *Service) scanned(ctx context.Context, id FileID, found FileScan) error {
	var infected bool
	err := s.transact(ctx, Actor{}, func(ctx context.Context, tx *transaction) error {
		const query = `
			WITH found AS (
				UPDATE files SET scan = $2, stored = CASE WHEN $2 = 'INFECTED' THEN 0 ELSE stored END WHERE id = $1 AND state = 'READY' AND scan = 'PENDING'
				RETURNING uploader_id, conversation_id, message_id
			)
			SELECT message_id, conversation_id, COALESCE(conversations.stream, users.stream) AS stream
			FROM found JOIN users ON users.id = uploader_id LEFT JOIN conversations ON conversations.id = conversation_id`
		var about struct {
			MessageID      *MessageID      `db:"message_id"`
			ConversationID *ConversationID `db:"conversation_id"`
			Stream         int64           `db:"stream"`
		}
		err := tx.GetContext(ctx, &about, query, id, found)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // it is gone, or somebody else was faster
		}
		if err != nil {
			return fmt.Errorf("write down what was found: %w", err)
		}
		infected = found == ScanInfected
		event := eventlog.Event{Stream: about.Stream, Kind: kindFileChanged, Subject: id.UUID}
		if about.MessageID != nil {
			event.Object, event.Scope = about.MessageID.UUID, about.ConversationID.UUID
		}
		_, err = tx.append(ctx, event)
		return err
	})
	if err == nil && infected {
		err = s.removeInfected(ctx, []FileID{id})
	}
	return err
}

// removeInfected removes the bytes of infected files.
func (s *Service) removeInfected(ctx context.Context, ids []FileID) error {
	for _, id := range ids {
		if err := s.files.Store.RemoveAll(ctx, id.String()); err != nil {
			return fmt.Errorf("remove the bytes of an infected file: %w", err)
		}
	}
	const query = `UPDATE files SET content = NULL, thumbnail = NULL WHERE id = ANY ($1) AND scan = 'INFECTED'`
	if _, err := s.db.ExecContext(ctx, query, array(ids)); err != nil {
		return fmt.Errorf("write down that the bytes of infected files are gone: %w", err)
	}
	return nil
}
