-- Small values that a connector keeps for its destination, such as tokens. They may be secrets.
CREATE TABLE token (
    destination INTEGER NOT NULL REFERENCES destination,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,              -- grows with every write: a writer names the one that it has read
    PRIMARY KEY (destination, name)
) STRICT, WITHOUT ROWID;
