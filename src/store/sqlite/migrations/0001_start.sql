-- Times are microseconds since 1970 in UTC.

CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    received INTEGER NOT NULL DEFAULT 0,   -- the ledger: events ever stored
    removed INTEGER NOT NULL DEFAULT 0     -- the ledger: events removed by retention
) STRICT;

CREATE TABLE destination (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL DEFAULT 0,    -- the ledger: deliveries ever made
    removed INTEGER NOT NULL DEFAULT 0,    -- the ledger: deliveries removed by retention
    delivered INTEGER NOT NULL DEFAULT 0,  -- the ledger: deliveries now in these states; the rest is pending
    skipped INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,
    erased INTEGER NOT NULL DEFAULT 0,
    hold_reason TEXT,
    hold_since INTEGER,
    hold_until INTEGER,
    parked_us INTEGER NOT NULL DEFAULT 0   -- time on hold or in an outage, in all, up to hold_since
) STRICT;

CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    source INTEGER NOT NULL REFERENCES source,
    content_key BLOB NOT NULL,
    kind TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    email TEXT,
    phone TEXT,
    session_id TEXT,
    deliveries INTEGER NOT NULL,           -- how many it was given at receipt
    duplicates INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL,
    UNIQUE (source, content_key)
) STRICT;

-- Events that no route took, for people.
CREATE INDEX event_unrouted ON event (seq) WHERE deliveries = 0 AND kind <> 'test';

-- The states are 0 waiting, 1 leased, 2 blocked, 3 delivered, 4 skipped, 5 dead, 6 erased.
CREATE TABLE delivery (
    event INTEGER NOT NULL REFERENCES event,
    destination INTEGER NOT NULL REFERENCES destination,
    state INTEGER NOT NULL,
    person BLOB,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL,
    clock_start INTEGER NOT NULL,
    parked_base INTEGER NOT NULL,
    ended_at INTEGER,
    record_id TEXT,
    record_url TEXT,
    remark TEXT,
    PRIMARY KEY (event, destination)
) STRICT, WITHOUT ROWID;

-- A delivery that is born leased and then ends never enters this index.
CREATE INDEX delivery_waiting ON delivery (destination, not_before) WHERE state = 0;
-- Holds what is pending. Answers "is an earlier one of this person pending here?", "which comes next?" and "what is leased?".
CREATE INDEX delivery_pending ON delivery (destination, person, event, state) WHERE state < 3;

CREATE TABLE attempt (
    event INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    at INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    kind TEXT,
    status INTEGER,
    code TEXT,
    message TEXT,
    excerpt TEXT,
    PRIMARY KEY (event, destination, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE step (
    event INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    name TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    PRIMARY KEY (event, destination, name)
) STRICT, WITHOUT ROWID;

-- The classes are 0 hopeless (not signed, or not readably: it can never verify), 1 refused (it may verify with another key),
-- 2 promised (answered with success: nothing pushes it out). None pushes out another class.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: two processes may verify again at the same time
    source TEXT NOT NULL,
    class INTEGER NOT NULL,
    size INTEGER NOT NULL,                 -- all that the row takes, about
    digest BLOB NOT NULL,                  -- of header and body: the sender's retries are one row
    at INTEGER NOT NULL,
    client TEXT NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    header TEXT,
    body BLOB NOT NULL,
    UNIQUE (source, digest)
) STRICT;

-- What makes room first: the largest. A lead is small, so it outlives a flood.
CREATE INDEX quarantine_largest ON quarantine (source, class, size);

-- Kept by triggers, so that a bound costs no scan.
CREATE TABLE quarantine_total (
    source TEXT NOT NULL,
    class INTEGER NOT NULL,
    bodies INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (source, class)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER quarantine_added AFTER INSERT ON quarantine BEGIN
    INSERT INTO quarantine_total VALUES (new.source, new.class, 1, new.size)
    ON CONFLICT DO UPDATE SET bodies = bodies + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER quarantine_removed AFTER DELETE ON quarantine BEGIN
    UPDATE quarantine_total SET bodies = bodies - 1, bytes = bytes - old.size WHERE source = old.source AND class = old.class;
END;

-- Written to prove that the store can commit, and to know afterwards until when a bridge ran. SQLite skips a write that changes
-- nothing, so this changes.
CREATE TABLE pulse (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    beats INTEGER NOT NULL,
    alive_at INTEGER
) STRICT;
INSERT INTO pulse VALUES (1, 0, NULL);
