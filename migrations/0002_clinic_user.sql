-- Clinics, the people in them and their waiting rooms. Contacts are derived from these, never stored.
-- +goose Up

CREATE TABLE clinics (
    id uuid PRIMARY KEY,
    name text NOT NULL CONSTRAINT clinics_name_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    manage_participants text NOT NULL DEFAULT 'ANY_PARTICIPANT'
        CHECK (manage_participants IN ('ANY_PARTICIPANT', 'OWNER_ONLY')),
    rename_group text NOT NULL DEFAULT 'OWNER_ONLY'
        CHECK (rename_group IN ('ANY_PARTICIPANT', 'OWNER_ONLY')),
    history_choice boolean NOT NULL DEFAULT false,
    strict_direct boolean NOT NULL DEFAULT false,
    remove_on_room_exit boolean NOT NULL DEFAULT false,
    keep_archived boolean NOT NULL DEFAULT false,
    group_size_limit integer NOT NULL DEFAULT 250 CHECK (group_size_limit BETWEEN 2 AND 1000),
    retention_days integer NOT NULL DEFAULT 2190 CHECK (retention_days BETWEEN 0 AND 36500),
    legal_hold boolean NOT NULL DEFAULT false,
    support_contact text NOT NULL DEFAULT ''
);

CREATE TABLE users (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL REFERENCES clinics,
    email text NOT NULL,
    name text NOT NULL,
    role_label text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('PROVIDER', 'STAFF', 'PATIENT')),
    -- The person's own stream: mute, archive, read position, the end of the account.
    stream bigint NOT NULL REFERENCES streams,
    created_at timestamptz NOT NULL DEFAULT now(),
    deactivated_at timestamptz,
    CONSTRAINT users_email_key UNIQUE (clinic_id, email)
);
CREATE INDEX users_email ON users (email);

-- Who has a stream open. Not worth a disk write, and nothing is lost with it.
CREATE UNLOGGED TABLE presence (
    user_id uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE waiting_rooms (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL REFERENCES clinics,
    name text NOT NULL,
    -- Who comes into the room and who goes: its members hear of their contacts by it.
    stream bigint NOT NULL REFERENCES streams,
    deactivated_at timestamptz,
    CONSTRAINT waiting_rooms_name_key UNIQUE (clinic_id, name)
);

CREATE TABLE waiting_room_members (
    waiting_room_id uuid NOT NULL REFERENCES waiting_rooms,
    user_id uuid NOT NULL REFERENCES users,
    -- Folded name, a line feed, folded e-mail address: what a search looks into and what lists are ordered by.
    -- It stands here, and not with the person, so that a search reads one index and no table. Patients have none.
    search text COLLATE "C",
    CONSTRAINT waiting_room_members_pkey PRIMARY KEY (waiting_room_id, user_id)
);
CREATE INDEX waiting_room_members_user ON waiting_room_members (user_id);
CREATE INDEX waiting_room_members_search ON waiting_room_members (waiting_room_id) INCLUDE (user_id, search)
    WHERE search IS NOT NULL;

-- The effect of every mutation under the key its caller gave it, for ever.
CREATE TABLE client_keys (
    user_id uuid NOT NULL REFERENCES users,
    key text NOT NULL,
    operation text NOT NULL,
    -- SHA-256 of the input: another input under the same key is a conflict.
    fingerprint bytea NOT NULL,
    result jsonb NOT NULL DEFAULT 'null',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT client_keys_pkey PRIMARY KEY (user_id, key)
);
