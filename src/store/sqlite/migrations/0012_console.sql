-- What to ask once more when an action was interrupted: the fields of its form, as JSON. NULL when there is nothing to ask.
ALTER TABLE action ADD COLUMN again TEXT;

-- What goes on, to be looked through when a bridge is gone.
CREATE INDEX action_going ON action (id) WHERE ended_at IS NULL;

-- Logins of the console that were ended before their time, until they would have ended anyway.
CREATE TABLE logout (
    session TEXT NOT NULL PRIMARY KEY,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
