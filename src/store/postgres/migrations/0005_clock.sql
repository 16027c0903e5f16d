-- By how much the clock of the bridge that gave the last sign of life was ahead of the server's, so that the next one to start sees
-- that the clock was set back while no bridge ran.
ALTER TABLE pulse ADD COLUMN clock_ahead BIGINT;
