-- How far changes count: see `fence::Reach` of the crate `rejoin`. Of nearly all it follows from their own bytes, in a
-- row or in a pack, and these have no row here.
CREATE TABLE reach (
  id    INTEGER PRIMARY KEY,            -- document << 40 | position
  last  INTEGER NOT NULL,
  slack INTEGER NOT NULL
) STRICT;
