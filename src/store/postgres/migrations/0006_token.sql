-- Small values that a connector keeps for its destination. The meaning of the columns is that of the SQLite schema.
CREATE TABLE token (
    destination BIGINT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (destination, name)
);
