-- The replica of the site's whitelist: rows exactly as central encoded them.
CREATE TABLE rows (
    row_key TEXT PRIMARY KEY,
    data BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
