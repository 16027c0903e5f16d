-- How an event came in, what was seen of sources, and missed leads. The meaning of the columns is that of the SQLite schema.
ALTER TABLE event ADD COLUMN receipt TEXT;

CREATE TABLE sighting (
    source BIGINT NOT NULL,
    what BIGINT NOT NULL,
    name TEXT NOT NULL,
    at BIGINT NOT NULL,
    times BIGINT NOT NULL,
    listed BIGINT NOT NULL,
    PRIMARY KEY (source, what, name)
);

CREATE TABLE missed (
    event BIGINT PRIMARY KEY,
    found_at BIGINT NOT NULL,
    email TEXT,
    phone TEXT,
    ending BIGINT NOT NULL DEFAULT 0,
    settled_at BIGINT,
    lead TEXT
);
CREATE INDEX missed_open ON missed (event) WHERE ending = 0;

CREATE TABLE missed_mark (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL
);
