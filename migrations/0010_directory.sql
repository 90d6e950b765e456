-- What others need who keep a copy of a clinic's directory: which of its people changed when, and who was in
-- which waiting room then. Time is counted by the clinic's own stream of the event log, the directory seq.
-- +goose Up

-- Missing only until the transaction that makes the clinic ends.
ALTER TABLE clinics ADD COLUMN stream bigint REFERENCES streams;
WITH made AS (
    INSERT INTO streams (head) SELECT 0 FROM clinics RETURNING number
), paired AS (
    SELECT clinic.id, made.number
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM clinics) AS clinic
    JOIN (SELECT number, row_number() OVER (ORDER BY number) AS place FROM made) AS made USING (place)
), seen AS (
    INSERT INTO spans (reader, stream, from_seq, opened_seq) SELECT id, number, 1, 1 FROM paired
)
UPDATE clinics SET stream = number FROM paired WHERE clinics.id = paired.id;

-- The directory seq of the last change of the person: their name, role or state, or a waiting room joined or left.
ALTER TABLE users ADD COLUMN changed_seq bigint NOT NULL DEFAULT 0;
CREATE INDEX users_changed ON users (clinic_id, changed_seq);

ALTER TABLE waiting_room_members ADD COLUMN joined_seq bigint NOT NULL DEFAULT 0;
CREATE INDEX waiting_room_members_joined ON waiting_room_members (waiting_room_id, joined_seq) WHERE search IS NOT NULL;

-- Memberships that ended, of those that made people contacts: at directory seq T they were there if
-- joined_seq <= T < left_seq. Kept for ever: there are few of them.
CREATE TABLE former_waiting_room_members (
    waiting_room_id uuid NOT NULL REFERENCES waiting_rooms,
    user_id uuid NOT NULL REFERENCES users,
    joined_seq bigint NOT NULL,
    left_seq bigint NOT NULL,
    CONSTRAINT former_waiting_room_members_pkey PRIMARY KEY (waiting_room_id, left_seq, user_id),
    CONSTRAINT former_waiting_room_members_forward CHECK (joined_seq < left_seq)
);
CREATE INDEX former_waiting_room_members_user ON former_waiting_room_members (user_id, left_seq);

-- What a partner's own directory calls people and rooms, for SCIM.
ALTER TABLE users ADD COLUMN external_id text NOT NULL DEFAULT '';
CREATE INDEX users_external_id ON users (clinic_id, external_id) WHERE external_id <> '';
ALTER TABLE waiting_rooms ADD COLUMN external_id text NOT NULL DEFAULT '';
CREATE INDEX waiting_rooms_external_id ON waiting_rooms (clinic_id, external_id) WHERE external_id <> '';

-- The rooms that somebody who is deactivated comes back into.
ALTER TABLE users ADD COLUMN dormant_rooms uuid[] NOT NULL DEFAULT '{}';
CREATE INDEX users_dormant ON users USING gin (dormant_rooms) WHERE dormant_rooms <> '{}';

-- Deleted by a partner: deactivated, and not listed for partners any more.
ALTER TABLE users ADD COLUMN unlisted boolean NOT NULL DEFAULT false;

-- A whole roster that is being sent, in pieces: one at most of each clinic.
CREATE TABLE roster_syncs (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL REFERENCES clinics CONSTRAINT roster_syncs_clinic_key UNIQUE,
    -- How many rows came, those that replace others too.
    given integer NOT NULL DEFAULT 0,
    -- Rows were refused of which nobody knows whom they are about.
    unreadable boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE roster_sync_rows (
    sync_id uuid NOT NULL REFERENCES roster_syncs ON DELETE CASCADE,
    email text NOT NULL,
    -- Missing in a row that was refused: the person stays as they are.
    name text,
    role text,
    waiting_rooms jsonb,
    CONSTRAINT roster_sync_rows_pkey PRIMARY KEY (sync_id, email)
);
