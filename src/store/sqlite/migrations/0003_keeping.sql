-- Retention walks events from the oldest, and people list them by time.
CREATE INDEX event_received ON event (received_at);
CREATE INDEX event_tombstone ON event (erased_at) WHERE erased_at IS NOT NULL;

-- In a store that is or was the target of `leadwire store migrate`: how far it came. Written in the same transaction as the rows.
CREATE TABLE transfer (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    origin TEXT NOT NULL,
    fingerprint TEXT NOT NULL,             -- of the origin: when it changed, the parts would not fit together
    stage INTEGER NOT NULL,
    after INTEGER NOT NULL,                -- the number of the last event or body that is here
    finished_at INTEGER
) STRICT;
