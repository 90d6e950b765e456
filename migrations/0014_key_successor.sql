-- Which key replaces which, no good key of an account that ended, and who administers a clinic.
-- +goose Up

ALTER TABLE partner_keys ADD COLUMN predecessor_id uuid REFERENCES partner_keys;
CREATE INDEX partner_keys_predecessor ON partner_keys (predecessor_id) WHERE predecessor_id IS NOT NULL;

-- An account may come back, and its keys must not.
UPDATE partner_keys SET revoked_at = users.deactivated_at FROM users
WHERE users.id = service_account_id AND users.deactivated_at IS NOT NULL AND revoked_at IS NULL;

CREATE INDEX users_administrator ON users (clinic_id) WHERE administrator;
