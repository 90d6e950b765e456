package chat

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// The limits of documents.
const (
	MaxDocuments     = 2000
	MaxDocumentBytes = 64 << 10
)

// Document is a document of GraphQL that was registered for a service account: keys that are bound to documents run
// nothing else.
type Document struct {
	SHA256    []byte    `db:"sha256"`
	Name      string    `db:"name"`
	Bytes     int       `db:"bytes"`
	CreatedAt time.Time `db:"created_at"`
}

// ID is how clients name the document.
func (d Document) ID() string { return "sha256:" + hex.EncodeToString(d.SHA256) }

// NewDocument is a document to register: its text, byte by byte as its client hashes it, and what it is called.
type NewDocument struct{ Name, Text string }

// RunsOnlyDocuments tells whether the actor's key is bound to registered documents. Lists that can
// be had without GraphQL are not there for them; addresses of files they get by it.
func (a Actor) RunsOnlyDocuments() bool { return a.Grant != nil && a.Grant.DocumentsOnly }

// RegisteredDocument returns the text of a document that was registered for the actor's service account.
func (s *Service) RegisteredDocument(ctx context.Context, actor Actor, hash []byte) (text string, ok bool, err error) {
	const query = `SELECT text FROM documents WHERE service_account_id = $1 AND sha256 = $2`
	err = s.db.GetContext(ctx, &text, query, actor.User.ID, hash)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look up the document: %w", err)
	}
	return text, true, nil
}

// Documents returns what is registered for a service account, by name. It is for operators.
func (s *Service) Documents(ctx context.Context, actor Actor, account UserID) ([]Document, error) {
	if err := administers(actor, "service account", "serviceAccount"); err != nil {
		return nil, err
	}
	const query = `
		SELECT sha256, documents.name, octet_length(text) AS bytes, documents.created_at
		FROM documents JOIN users ON users.id = service_account_id
		WHERE service_account_id = $1 AND clinic_id = $2
		ORDER BY documents.name COLLATE "C", sha256`
	var documents []Document
	if err := s.db.SelectContext(ctx, &documents, query, account, actor.Clinic.ID); err != nil {
		return nil, fmt.Errorf("documents: %w", err)
	}
	return documents, nil
}

// RegisterDocuments lets keys of a service account run documents, and returns how many of them are new. The caller has made
// sure that they fit the schema. It is for operators.
func (s *Service) RegisterDocuments(ctx context.Context, actor Actor, account UserID, given []NewDocument) (added int, err error) {
	err = s.changeDocuments(ctx, actor, account, 0, func(ctx context.Context, tx *transaction) error {
		names, texts := make([]string, len(given)), make([]string, len(given))
		for i, document := range given {
			if len(document.Text) > MaxDocumentBytes {
				return invalid("documents", "A document has at most %d bytes.", MaxDocumentBytes)
			}
			names[i], texts[i] = document.Name, document.Text
		}
		const insert = `
			WITH added AS (
				INSERT INTO documents (service_account_id, sha256, text, name)
				SELECT $1, sha256(convert_to(text, 'UTF8')), text, name FROM unnest($2::text[], $3::text[]) AS given (name, text)
				ON CONFLICT DO NOTHING
				RETURNING sha256
			)
			SELECT count(*) AS added, (SELECT count(*) FROM documents WHERE service_account_id = $1) AS before FROM added`
		var documents struct{ Added, Before int }
		if err := tx.GetContext(ctx, &documents, insert, account, array(names), array(texts)); err != nil {
			return fmt.Errorf("register documents: %w", err)
		}
		added = documents.Added
		if documents.Before+added > MaxDocuments {
			return invalid("documents", "A service account has at most %d documents, and has %d: remove those that no client sends any more.", MaxDocuments, documents.Before)
		}
		return nil
	})
	return added, err
}

// RemoveDocuments lets keys of a service account run documents no longer, and returns how many of them there were. What is open
// by keys that are bound begins anew. It is for operators.
func (s *Service) RemoveDocuments(ctx context.Context, actor Actor, account UserID, hashes [][]byte) (removed int, err error) {
	err = s.changeDocuments(ctx, actor, account, 1, func(ctx context.Context, tx *transaction) error {
		const remove = `DELETE FROM documents WHERE service_account_id = $1 AND sha256 = ANY ($2::bytea[])`
		result, err := tx.ExecContext(ctx, remove, account, array(hashes))
		if err != nil {
			return fmt.Errorf("remove documents: %w", err)
		}
		rows, err := result.RowsAffected()
		removed = int(rows)
		return err
	})
	return removed, err
}

// changeDocuments changes the documents of a service account of the actor's clinic, alone. Some of them may be removed.
func (s *Service) changeDocuments(ctx context.Context, actor Actor, account UserID, removals int, do func(context.Context, *transaction) error) error {
	if err := administers(actor, "service account", "serviceAccount"); err != nil {
		return err
	}
	return s.transact(ctx, actor, func(ctx context.Context, tx *transaction) error {
		const next = `
			INSERT INTO document_sets (service_account_id)
			SELECT id FROM users WHERE id = $1 AND clinic_id = $2 AND kind = 'SERVICE' AND deactivated_at IS NULL
			ON CONFLICT (service_account_id) DO UPDATE SET removals = document_sets.removals + $3`
		found, err := tx.updates(ctx, next, account, actor.Clinic.ID, removals)
		if err != nil {
			return err
		}
		if !found {
			return notFound("service account", "serviceAccount")
		}
		return do(ctx, tx)
	})
}
