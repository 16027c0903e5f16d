-- Actions that are interrupted, and logins that were ended. The meaning of the columns is that of the SQLite schema.
ALTER TABLE action ADD COLUMN again TEXT;
-- The instance that is at it; NULL for a command.
ALTER TABLE action ADD COLUMN instance BIGINT;
CREATE INDEX action_going ON action (id) WHERE ended_at IS NULL;

CREATE TABLE logout (
    session TEXT NOT NULL PRIMARY KEY,
    ends_at BIGINT NOT NULL
);
