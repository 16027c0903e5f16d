-- Erasures whose certificate is not out yet. What they removed is written in the transaction that removes it, so that one that was
-- interrupted can be finished and certified. Nothing of the person but the ids of records at the destinations.
CREATE TABLE certificate (
    id TEXT PRIMARY KEY,
    begun_at INTEGER NOT NULL,
    head TEXT NOT NULL,                    -- JSON: whom it is about, hashed, and what was found
    removed TEXT NOT NULL                  -- JSON, one line for each transaction
) STRICT, WITHOUT ROWID;
