-- In a store that is or was the target of `leadwire store migrate`: how far it came. Written in the same transaction as the rows.
CREATE TABLE transfer (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    origin TEXT NOT NULL,
    fingerprint TEXT NOT NULL,             -- of the origin: when it changed, the parts would not fit together
    stage BIGINT NOT NULL,
    after BIGINT NOT NULL,                 -- the number of the last event or body that is here
    finished_at BIGINT
);
