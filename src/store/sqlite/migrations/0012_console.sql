-- What to ask once more when an action was interrupted: the fields of its form, as JSON. NULL when there is nothing to ask.
ALTER TABLE action ADD COLUMN again TEXT;

-- Logins of the console that were ended before their time, until they would have ended anyway.
CREATE TABLE logout (
    session TEXT NOT NULL PRIMARY KEY,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
