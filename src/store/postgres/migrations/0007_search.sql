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
CREATE INDEX event_duplicated ON event (seq) WHERE duplicates > 0;
