-- What was asked of all instances within the last minutes (internal/budget).
-- +goose Up

-- Not worth a disk write: after a crash those who had spent theirs have a minute more.
CREATE UNLOGGED TABLE budgets (
    -- A minute of the subject's, counted from 1970 on: the minutes of different subjects begin at different seconds.
    minute bigint NOT NULL,
    subject uuid NOT NULL,
    spent bigint NOT NULL,
    CONSTRAINT budgets_pkey PRIMARY KEY (minute, subject)
) WITH (fillfactor = 50);
