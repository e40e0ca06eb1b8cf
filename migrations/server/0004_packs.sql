-- Long and idle logs are kept as packs: many changes in few bytes, the oldest first. Of each document the positions
-- up to some place are in packs, without a hole, and those after it in `change`.
CREATE TABLE pack (
  id       INTEGER PRIMARY KEY,         -- document << 40 | position of its last change
  first    INTEGER NOT NULL,            -- position of its first change
  before   BLOB    NOT NULL,            -- the running digest before the first
  digest   BLOB    NOT NULL,            -- the running digest after the last
  plain    INTEGER NOT NULL,            -- the sum of the plain bytes
  outside  BLOB    NOT NULL,            -- positions of the dependencies before it, LEB128, each as (first - its)
  prefixes BLOB    NOT NULL,            -- the first 4 bytes of each hash, sorted: finds it, proves nothing
  bytes    BLOB    NOT NULL             -- the pack: see the module `pack` of the crate `rejoin`
) STRICT;

-- Of packed changes those that were written again after a fork: what `change.was` says of the others.
CREATE TABLE rewritten (
  document INTEGER NOT NULL REFERENCES document (id),
  was      BLOB    NOT NULL,
  hash     BLOB    NOT NULL,
  PRIMARY KEY (document, was, hash)
) STRICT, WITHOUT ROWID;

-- A head may be in a pack: it bears its hash itself.
CREATE TABLE hashed_head (
  id   INTEGER PRIMARY KEY,
  hash BLOB    NOT NULL
) STRICT;
INSERT INTO hashed_head SELECT head.id, change.hash FROM head JOIN change USING (id);
DROP TABLE head;
ALTER TABLE hashed_head RENAME TO head;

-- When what is behind a tombstone was removed for good. The row stays as it was then; `last` and `digest` still say
-- where its log ended.
ALTER TABLE document ADD COLUMN purged_at INTEGER;
