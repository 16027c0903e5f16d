-- How an event came in: client, signature, and the way; one short text. The client is personal data, so erasing takes it away.
ALTER TABLE event ADD COLUMN receipt TEXT;

-- What was seen of each source, gathered for about a minute; bounded. The meanings are 0 verified requests, 1 leads and appointments,
-- 2 a signing key (by number), 3 refusals (by cause), 4 a client's address, 5 other clients, 6 leads and appointments in an hour (by its
-- number since 1970).
CREATE TABLE sighting (
    source INTEGER NOT NULL REFERENCES source,
    what INTEGER NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,                   -- when last
    times INTEGER NOT NULL,
    listed INTEGER NOT NULL,               -- whether the allow-list had the address
    PRIMARY KEY (source, what, name)
) STRICT, WITHOUT ROWID;

-- Conversations in which a visitor left an e-mail or a phone although no lead came. The endings are 0 open, 1 taken, 2 dismissed.
CREATE TABLE missed (
    event INTEGER PRIMARY KEY REFERENCES event,
    found_at INTEGER NOT NULL,
    email TEXT,
    phone TEXT,
    ending INTEGER NOT NULL DEFAULT 0,
    settled_at INTEGER,
    lead TEXT                              -- the event that was made of it
) STRICT;
CREATE INDEX missed_open ON missed (event) WHERE ending = 0;

-- Up to which event conversations have been looked at.
CREATE TABLE missed_mark (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;
