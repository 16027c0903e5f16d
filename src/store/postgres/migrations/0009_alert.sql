-- What alerts remember from one look to the next. The meaning of the columns is that of the SQLite schema.
CREATE TABLE alert (
    name TEXT NOT NULL PRIMARY KEY,
    page TEXT NOT NULL,
    version BIGINT NOT NULL
);
