-- An event whose person was erased stays as a tombstone: its content key keeps recognising repetitions.
ALTER TABLE event ADD COLUMN erased_at INTEGER;

-- What connectors are to remove of erased deliveries on our side. No personal data: a delivery's id is its event's, and the name of
-- the destination.
CREATE TABLE erasure (
    delivery TEXT PRIMARY KEY,
    destination INTEGER NOT NULL REFERENCES destination,
    event INTEGER,                 -- NULL when the event had left the store before
    under_way INTEGER NOT NULL,    -- whether an attempt was under way
    requested_at INTEGER NOT NULL,
    done_at INTEGER,
    result TEXT,
    place TEXT,
    arrived TEXT                   -- records that an attempt made after all, for the owner to remove
) STRICT, WITHOUT ROWID;

CREATE INDEX erasure_open ON erasure (destination) WHERE done_at IS NULL;
CREATE INDEX erasure_requested ON erasure (requested_at);
CREATE INDEX erasure_event ON erasure (event, destination) WHERE event IS NOT NULL;
