-- Files that people send. Their bytes are kept elsewhere (internal/blob), in a folder with the id of the file.
-- +goose Up

CREATE TABLE files (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL REFERENCES clinics,
    uploader_id uuid NOT NULL REFERENCES users,
    -- Of one that is REMOVED the bytes may still have to go; then its row does.
    state text NOT NULL DEFAULT 'UPLOADING' CHECK (state IN ('UPLOADING', 'READY', 'REFUSED', 'REMOVED')),
    name text NOT NULL,
    media_type text NOT NULL,
    -- What was announced; of a file that is ready what others get.
    size bigint NOT NULL CHECK (size > 0),
    -- What was announced of what was sent, and what others get.
    announced_sha256 bytea,
    sha256 bytea,
    received bigint NOT NULL DEFAULT 0,
    -- What it counts for in its clinic.
    stored bigint NOT NULL,
    refused_code text,
    refused_message text,
    width integer NOT NULL DEFAULT 0,
    height integer NOT NULL DEFAULT 0,
    page_count integer NOT NULL DEFAULT 0,
    charset text NOT NULL DEFAULT '',
    -- The blobs.
    content text,
    thumbnail text,
    thumbnail_media_type text,
    thumbnail_size bigint NOT NULL DEFAULT 0,
    thumbnail_width integer NOT NULL DEFAULT 0,
    thumbnail_height integer NOT NULL DEFAULT 0,
    -- What the search for malware found; null if nobody searched.
    scan text CHECK (scan IN ('PENDING', 'CLEAN', 'INFECTED', 'FAILED')),
    scan_attempts integer NOT NULL DEFAULT 0,
    scan_at timestamptz NOT NULL DEFAULT now(),
    -- The message that it was sent with, and its place there.
    conversation_id uuid REFERENCES conversations,
    message_id uuid,
    position integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT files_ready CHECK ((state = 'READY') <= (sha256 IS NOT NULL)),
    CONSTRAINT files_refused CHECK ((state = 'REFUSED') <= (refused_code IS NOT NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX files_message ON files (message_id, position) WHERE message_id IS NOT NULL;
CREATE INDEX files_conversation ON files (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE INDEX files_unattached ON files (uploader_id, created_at) WHERE message_id IS NULL;
CREATE INDEX files_removed ON files (id) WHERE state = 'REMOVED';
CREATE INDEX files_infected ON files (id) WHERE scan = 'INFECTED' AND content IS NOT NULL;
CREATE INDEX files_unscanned ON files (scan_at) WHERE state = 'READY' AND (scan IS NULL OR scan = 'PENDING');

-- What has come of an upload, until the file is whole.
CREATE TABLE file_pieces (
    file_id uuid NOT NULL REFERENCES files ON DELETE CASCADE,
    starts_at bigint NOT NULL,
    blob text NOT NULL,
    CONSTRAINT file_pieces_pkey PRIMARY KEY (file_id, starts_at)
);

-- How much a clinic has, kept by the trigger below, so that no change of a file can forget it.
CREATE TABLE clinic_files (
    clinic_id uuid PRIMARY KEY REFERENCES clinics,
    files bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 20);

-- +goose StatementBegin
CREATE FUNCTION count_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO clinic_files AS counted
        SELECT clinic_id, count(*), sum(stored) FROM after GROUP BY clinic_id ORDER BY clinic_id
        ON CONFLICT (clinic_id) DO UPDATE SET files = counted.files + excluded.files, bytes = counted.bytes + excluded.bytes;
        RETURN NULL;
    END IF;
    -- In the order of the clinics, so that no two statements wait for each other.
    INSERT INTO clinic_files AS counted
    SELECT clinic_id, sum(files), sum(bytes) FROM (
        SELECT clinic_id, 1 AS files, stored AS bytes FROM after WHERE state IN ('UPLOADING', 'READY')
        UNION ALL
        SELECT clinic_id, -1, -stored FROM before WHERE state IN ('UPLOADING', 'READY')
    ) AS changed
    GROUP BY clinic_id HAVING sum(files) <> 0 OR sum(bytes) <> 0 ORDER BY clinic_id
    ON CONFLICT (clinic_id) DO UPDATE SET files = counted.files + excluded.files, bytes = counted.bytes + excluded.bytes;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER files_added AFTER INSERT ON files
    REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_files();
CREATE TRIGGER files_changed AFTER UPDATE ON files
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_files();

ALTER TABLE messages ADD COLUMN file_count integer NOT NULL DEFAULT 0;
-- In megabytes.
ALTER TABLE clinics ADD COLUMN file_quota integer NOT NULL DEFAULT 100000 CHECK (file_quota BETWEEN 0 AND 100000000);

-- Which place has the bytes (the identity of a blob.Store): another one's would be swept away.
CREATE TABLE file_store (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Of this database, which stands in the place too.
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    identity text
);
INSERT INTO file_store DEFAULT VALUES;
