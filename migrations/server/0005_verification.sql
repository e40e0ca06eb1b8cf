-- What verification behind the log has found: caches, which may go at any time, and are made again.

-- Up to where a log was merged, saved, loaded again and found equal, but for what stands in `quarantine`.
CREATE TABLE verified (
  document INTEGER PRIMARY KEY REFERENCES document (id),
  position INTEGER NOT NULL,
  maker    TEXT    NOT NULL             -- the release that did it: another does it again
) STRICT;

-- Changes that merged documents and snapshots leave out: with them a document cannot be merged, saved, loaded
-- again or read, or what they depend on is left out. The log keeps them, and hands them on.
CREATE TABLE quarantine (
  id       INTEGER PRIMARY KEY,         -- document << 40 | position
  reason   TEXT    NOT NULL,
  found_at INTEGER NOT NULL,
  maker    TEXT    NOT NULL             -- the release that could not take it: another tries it again
) STRICT;
