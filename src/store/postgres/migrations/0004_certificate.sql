-- Erasures whose certificate is not out yet. The meaning of the columns is that of the SQLite schema.
CREATE TABLE certificate (
    id TEXT PRIMARY KEY,
    begun_at BIGINT NOT NULL,
    head TEXT NOT NULL,
    removed TEXT NOT NULL
);
