-- The parts of a snapshot that have arrived, so that a restart does not begin anew.
CREATE TABLE chunks (
    sha256 TEXT NOT NULL,
    i INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (sha256, i)
) WITHOUT ROWID;
