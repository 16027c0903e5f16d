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
-- Holds what is pending. Answers "is an earlier one of this person pending here?" and "which comes next?".
CREATE INDEX delivery_pending ON delivery (destination, person, event) WHERE state < 3;

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

CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    digest BLOB NOT NULL,                  -- of header and body: the sender's retries are one row
    at INTEGER NOT NULL,
    client TEXT NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    header TEXT,
    body BLOB NOT NULL,
    size INTEGER NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    promised INTEGER NOT NULL,             -- answered with success: never pushed out by others
    UNIQUE (source, digest)
) STRICT;

-- Written to prove that the store can commit. SQLite skips a write that changes nothing, so this changes.
CREATE TABLE probe (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    times INTEGER NOT NULL
) STRICT;
INSERT INTO probe VALUES (1, 0);
