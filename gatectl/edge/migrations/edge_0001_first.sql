-- Journal: every event, chained by hash. Outbox: the events that central has not confirmed yet.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    wall_s INTEGER NOT NULL,
    prev TEXT NOT NULL,
    hash TEXT NOT NULL,
    body TEXT NOT NULL
);

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY
);

CREATE TABLE pictures (
    sha256 TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    is_sent INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX pictures_unsent ON pictures (seq) WHERE is_sent = 0;
