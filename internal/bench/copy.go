package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/sync/errgroup"

	"corridor/internal/postgres"
)

// table is what is copied into one.
type table struct {
	name    string
	columns []string
	rows    func(add func(values ...any) error) error
}

// tables are what comes of each line: the line itself, the key of the call that wrote it, its event, and its place in the feed.
func (h *past) tables(clinic uuid.UUID, numbered int64) []table {
	each := func(values func(l line, c *conversation, sender uuid.UUID) []any) func(add func(...any) error) error {
		return func(add func(...any) error) error {
			for l := range h.lines() {
				c := &h.conversations[l.of]
				if row := values(l, c, h.people[c.members[l.sender]]); row != nil {
					if err := add(row...); err != nil {
						return err
					}
				}
			}
			return nil
		}
	}
	return []table{
		{
			"messages",
			[]string{"id", "conversation_id", "seq", "kind", "sender_id", "body", "client_key", "text_count", "sent_at"},
			each(func(l line, c *conversation, sender uuid.UUID) []any {
				switch {
				case !l.begins:
					return []any{l.id.String(), c.id.String(), l.seq, "TEXT", sender.String(), l.body(), l.clientKey(), l.texts, l.at}
				case c.direct:
					return nil
				}
				return []any{l.id.String(), c.id.String(), l.seq, "GROUP_CREATED", sender.String(), c.name, nil, 0, l.at}
			}),
		},
		{
			"client_keys",
			[]string{"user_id", "key", "operation", "fingerprint", "result", "created_at"},
			each(func(l line, c *conversation, sender uuid.UUID) []any {
				operation, result := "sendMessage", l.id
				switch {
				case l.begins && c.direct:
					operation, result = "startDirectConversation", c.id
				case l.begins:
					operation, result = "createGroup", c.id
				}
				fingerprint := sha256.Sum256(l.id[:])
				return []any{sender.String(), l.clientKey(), operation, fingerprint[:], `"` + result.String() + `"`, l.at}
			}),
		},
		{
			"events",
			[]string{"stream", "seq", "kind", "actor", "scope", "object", "opens", "occurred_at"},
			each(func(l line, c *conversation, sender uuid.UUID) []any {
				kind, object, opens := "line", any(l.id.String()), any(nil)
				if l.begins {
					opens = "{" + strings.Join(h.membersOf(c), ",") + "}"
				}
				if l.begins && c.direct {
					kind, object = "direct_started", nil
				}
				return []any{c.stream, l.seq, kind, sender.String(), c.id.String(), object, opens, l.at}
			}),
		},
		{
			"feed",
			[]string{"pos", "stream", "seq", "numbered_at"},
			each(func(l line, c *conversation, _ uuid.UUID) []any {
				return []any{numbered + 1 + int64(l.n), c.stream, l.seq, l.at}
			}),
		},
	}
}

func (h *past) membersOf(c *conversation) []string {
	ids := make([]string, len(c.members))
	for k, n := range c.members {
		ids[k] = h.people[n].String()
	}
	return ids
}

// writeConversations writes what the conversations have become: everybody has read up to what they sent last.
func (h *past) writeConversations(ctx context.Context, db *sqlx.DB, clinic uuid.UUID) error {
	last := make([]line, len(h.conversations))
	read := make([][]line, len(h.conversations))
	for i, c := range h.conversations {
		read[i] = make([]line, len(c.members))
	}
	for l := range h.lines() {
		last[l.of] = l
		if !l.begins {
			read[l.of][l.sender] = l
		}
	}
	each := func(row func(i int, c *conversation, add func(...any) error) error) func(add func(...any) error) error {
		return func(add func(...any) error) error {
			for i := range h.conversations {
				if err := row(i, &h.conversations[i], add); err != nil {
					return err
				}
			}
			return nil
		}
	}
	var written atomic.Int64
	for _, table := range []table{
		{"streams", []string{"number", "head"}, each(func(i int, c *conversation, add func(...any) error) error {
			return add(c.stream, last[i].seq)
		})},
		{
			"conversations",
			[]string{"id", "clinic_id", "kind", "stream", "name", "owner_id", "first_user_id", "second_user_id", "created_at", "last_seq", "last_activity_at", "text_count"},
			each(func(i int, c *conversation, add func(...any) error) error {
				kind, name, owner, first, second, seq := "GROUP", any(c.name), any(h.people[c.members[0]].String()), any(nil), any(nil), last[i].seq
				if c.direct {
					ids := h.membersOf(c)
					kind, name, owner, first, second = "DIRECT", nil, nil, min(ids[0], ids[1]), max(ids[0], ids[1])
					if last[i].begins {
						seq = 0
					}
				}
				return add(c.id.String(), clinic.String(), kind, c.stream, name, owner, first, second, h.begin, seq, last[i].at, last[i].texts)
			}),
		},
		{
			"participants",
			[]string{"id", "conversation_id", "user_id", "joined_at", "read_seq", "read_text_count"},
			each(func(i int, c *conversation, add func(...any) error) error {
				for k, n := range c.members {
					id := idAt(h.begin, uint64(i)<<32|uint64(k)<<8|1<<62)
					if err := add(id.String(), c.id.String(), h.people[n].String(), h.begin, read[i][k].seq, read[i][k].texts); err != nil {
						return err
					}
				}
				return nil
			}),
		},
		{"spans", []string{"reader", "stream", "from_seq", "opened_seq"}, each(func(_ int, c *conversation, add func(...any) error) error {
			for _, n := range c.members {
				if err := add(h.people[n].String(), c.stream, 1, 1); err != nil {
					return err
				}
			}
			return nil
		})},
	} {
		if err := copyIn(ctx, db, table, &written); err != nil {
			return err
		}
	}
	return nil
}

// copyIn copies rows into a table, in one transaction.
func copyIn(ctx context.Context, db *sqlx.DB, into table, written *atomic.Int64) error {
	err := postgres.InTx(ctx, db, func(tx *sqlx.Tx) error {
		statement, err := tx.PrepareContext(ctx, `COPY `+into.name+` (`+strings.Join(into.columns, `, `)+`) FROM STDIN`)
		if err != nil {
			return err
		}
		if err := into.rows(func(values ...any) error {
			written.Add(1)
			_, err := statement.ExecContext(ctx, values...)
			return err
		}); err != nil {
			return err
		}
		if _, err := statement.ExecContext(ctx); err != nil { // the end of the data
			return err
		}
		return statement.Close()
	})
	if err != nil {
		return fmt.Errorf("copy into %s: %w", into.name, err)
	}
	return nil
}

// withoutIndexes takes away the indexes of tables, but for those that foreign keys need, and returns how to make them again.
func withoutIndexes(ctx context.Context, db *sqlx.DB, tables ...string) (restore func() error, err error) {
	const query = `
		SELECT indrelid::regclass::text AS table_name, indexrelid::regclass::text AS index_name, COALESCE(conname, '') AS constraint_name,
			CASE WHEN conname IS NULL THEN pg_get_indexdef(indexrelid) ELSE pg_get_constraintdef(owner.oid) END AS definition
		FROM pg_index LEFT JOIN pg_constraint AS owner ON owner.conindid = indexrelid AND owner.contype IN ('p', 'u', 'x')
		WHERE indrelid = ANY ($1::regclass[])
			AND NOT EXISTS (SELECT FROM pg_constraint AS foreign_key WHERE foreign_key.conindid = indexrelid AND foreign_key.contype = 'f')
		ORDER BY indexrelid`
	var indexes []struct {
		Table      string `db:"table_name"`
		Index      string `db:"index_name"`
		Constraint string `db:"constraint_name"`
		Definition string
	}
	if err := db.SelectContext(ctx, &indexes, query, pq.Array(tables)); err != nil {
		return nil, err
	}
	for _, index := range indexes {
		query := `DROP INDEX ` + index.Index
		if index.Constraint != "" {
			query = `ALTER TABLE ` + index.Table + ` DROP CONSTRAINT ` + index.Constraint
		}
		if _, err := db.ExecContext(ctx, query); err != nil {
			return nil, err
		}
	}
	return func() error {
		group, ctx := errgroup.WithContext(ctx)
		for _, table := range tables {
			group.Go(func() error {
				for _, index := range indexes {
					if index.Table != table {
						continue
					}
					query := index.Definition
					if index.Constraint != "" {
						query = `ALTER TABLE ` + index.Table + ` ADD CONSTRAINT ` + index.Constraint + ` ` + index.Definition
					}
					if _, err := db.ExecContext(ctx, query); err != nil {
						return fmt.Errorf("make the indexes of %s: %w", table, err)
					}
				}
				return nil
			})
		}
		return group.Wait()
	}, nil
}
