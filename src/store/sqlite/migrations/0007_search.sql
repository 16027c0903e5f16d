-- The search index: which words which events have. It is made of the events by the running bridge, and can be thrown away at any time:
-- what no stretch covers is looked through event by event.

-- A stretch of the order of receipt whose words are on pages.
CREATE TABLE search_stretch (
    id INTEGER PRIMARY KEY,
    first INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL,
    events INTEGER NOT NULL,
    words INTEGER NOT NULL,
    oldest INTEGER NOT NULL,               -- when its events were received
    newest INTEGER NOT NULL,
    version INTEGER NOT NULL,
    is_stale INTEGER NOT NULL DEFAULT 0    -- events of it were removed, and their words are to go
) STRICT;

-- Words in their order, each with the places of its events. The rows are small, so that each is in one piece in the file.
CREATE TABLE search_page (
    stretch INTEGER NOT NULL,
    first BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (stretch, first)
) STRICT, WITHOUT ROWID;

-- How often events were erased or removed: a batch that was prepared before is thrown away.
CREATE TABLE search_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    changes INTEGER NOT NULL
) STRICT;
INSERT INTO search_state VALUES (1, 0);

-- For lists by state. What is delivered enters neither.
CREATE INDEX delivery_closed ON delivery (state, destination, event) WHERE state > 3;
-- Only a query that says `event > 0` uses this one; the others have better.
CREATE INDEX delivery_to ON delivery (destination, event) WHERE event > 0;
CREATE INDEX event_duplicated ON event (seq) WHERE duplicates > 0;
