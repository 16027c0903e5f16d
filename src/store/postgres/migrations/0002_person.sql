-- An event whose person was erased stays as a tombstone. The meaning of the columns is that of the SQLite schema.
ALTER TABLE event ADD COLUMN erased_at BIGINT;

CREATE TABLE erasure (
    delivery TEXT PRIMARY KEY,
    destination BIGINT NOT NULL,
    event BIGINT,
    under_way BOOLEAN NOT NULL,
    requested_at BIGINT NOT NULL,
    done_at BIGINT,
    result TEXT,
    place TEXT,
    arrived TEXT
);
CREATE INDEX erasure_open ON erasure (destination) WHERE done_at IS NULL;
CREATE INDEX erasure_requested ON erasure (requested_at);
CREATE INDEX erasure_event ON erasure (event, destination) WHERE event IS NOT NULL;
