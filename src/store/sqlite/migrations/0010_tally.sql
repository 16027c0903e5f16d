-- What happened in steps of time, for plots. Not the ledger: what was counted in the last minute before a crash is not in it, and it does
-- not move with `leadwire store migrate`. It names no person.
CREATE TABLE tally (
    step INTEGER NOT NULL,                 -- how long the step is, in seconds
    at INTEGER NOT NULL,                   -- when it began
    figure INTEGER NOT NULL,               -- what was counted, see store/tally.rs; under 10 of a source, else of a destination
    id INTEGER NOT NULL,                   -- of which one
    n INTEGER NOT NULL,                    -- how many; of figure 14, the slowest delivery, how many microseconds
    PRIMARY KEY (step, at, figure, id)
) STRICT, WITHOUT ROWID;
