-- Since when, by the directory seq, people are among those whom partners read: active, and no patients. Null: they never were.
-- +goose Up

ALTER TABLE users ADD COLUMN entered_seq bigint;
UPDATE users SET entered_seq = 0 WHERE kind <> 'PATIENT';
CREATE INDEX users_clinic ON users (clinic_id, id);
