-- 1 when the delivery stands in its person's line, 0 when it waits in the backlog of its destination and nobody has looked yet whether
-- it stands behind another. Only what is in a line is indexed by person, which has no order: an index of a long backlog by person would
-- have a page written anew for each lead. What an older program stored is in its line.
ALTER TABLE delivery ADD COLUMN in_line INTEGER NOT NULL DEFAULT 1;

-- How often a process that does not deliver there has put something into the backlog: the one that does has to look who it was.
ALTER TABLE destination ADD COLUMN joined INTEGER NOT NULL DEFAULT 0;

DROP INDEX delivery_waiting;
DROP INDEX delivery_pending;

-- What waits for its next attempt. A delivery that is born leased and then ends never enters it.
CREATE INDEX delivery_waiting ON delivery (destination, not_before) WHERE state = 0 AND in_line = 1;
-- Answers "is an earlier one of this person here?", "which comes next?" and "what is leased?".
CREATE INDEX delivery_line ON delivery (destination, person, event, state) WHERE state < 3 AND in_line = 1;
-- In the order of receipt, so that it grows at its end.
CREATE INDEX delivery_backlog ON delivery (destination, event) WHERE state = 0 AND in_line = 0;
