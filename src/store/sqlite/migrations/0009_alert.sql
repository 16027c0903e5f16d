-- What alerts remember from one look to the next: each trouble, the digest, when sources were last heard. Names no person.
CREATE TABLE alert (
    name TEXT NOT NULL PRIMARY KEY,
    page TEXT NOT NULL,                    -- JSON
    version INTEGER NOT NULL               -- grows with every write: a writer names the one that it has read
) STRICT, WITHOUT ROWID;
