-- Why a dead letter died, in a few words that are the same for all that died of the same. Empty for what is not dead, and for what died
-- before this was kept until a bridge has looked at it.
ALTER TABLE delivery ADD COLUMN cause TEXT NOT NULL DEFAULT '';

-- Dead letters, for people: newest first, and by cause. What is not dead never enters.
CREATE INDEX delivery_dead ON delivery (event) WHERE state = 5;
CREATE INDEX delivery_cause ON delivery (destination, cause, event) WHERE state = 5;

-- What people did, or had this program do. It names no person.
CREATE TABLE action (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    client TEXT,                           -- the address they came from; NULL for a command
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    planned INTEGER NOT NULL,              -- how many it is to be
    count INTEGER NOT NULL,                -- how many it is so far; written in the transactions that do it
    detail TEXT NOT NULL,
    ended_at INTEGER,                      -- NULL while it goes on, and for ever when it was interrupted
    failure TEXT
) STRICT;
CREATE INDEX action_at ON action (at);
