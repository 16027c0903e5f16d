-- The search index. The meaning of the columns is that of the SQLite schema. What keeps erasures and the making of the index apart is a
-- lock.
CREATE TABLE search_stretch (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first BIGINT NOT NULL UNIQUE,
    last BIGINT NOT NULL,
    events BIGINT NOT NULL,
    words BIGINT NOT NULL,
    oldest BIGINT NOT NULL,
    newest BIGINT NOT NULL,
    version BIGINT NOT NULL,
    is_stale BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE TABLE search_page (
    stretch BIGINT NOT NULL,
    first BYTEA NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (stretch, first)
);

CREATE INDEX delivery_closed ON delivery (state, destination, event) WHERE state > 3;
-- Only a query that says `event > 0` uses this one; the others have better.
CREATE INDEX delivery_to ON delivery (destination, event) WHERE event > 0;
CREATE INDEX event_duplicated ON event (seq) WHERE duplicates > 0;

-- People are found by the search index now, and whoever is received no longer waits for these.
DROP INDEX event_email;
DROP INDEX event_phone;
DROP INDEX event_session;
