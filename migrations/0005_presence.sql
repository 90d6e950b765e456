-- Lists show who is there, and a standby has nothing of a table that is not in the write-ahead log.
-- +goose Up

ALTER TABLE presence SET LOGGED;
