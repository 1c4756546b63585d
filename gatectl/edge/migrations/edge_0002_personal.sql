-- Personal fields stand beside the chained body, which holds their salted hash, so that they can be purged.
ALTER TABLE journal ADD COLUMN personal TEXT NOT NULL DEFAULT '';
