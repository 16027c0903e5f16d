-- What happened in steps of time, for plots; all instances add to it. The meaning of the columns is that of the SQLite schema.
CREATE TABLE tally (
    step BIGINT NOT NULL,
    at BIGINT NOT NULL,
    figure BIGINT NOT NULL,
    id BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (step, at, figure, id)
);
