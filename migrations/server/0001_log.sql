-- The server's log of changes. Tables are ours to change: nothing here is public.
--
-- A row of a document's log has one integer key, document << 40 | position: a page of a log is one range
-- of one B-tree, and what belongs together lies together. So a database holds up to 2^23 documents.

CREATE TABLE document (
  id         INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 8388607),
  uuid       BLOB    NOT NULL UNIQUE CHECK (length(uuid) = 16),
  last       INTEGER NOT NULL,          -- the end of the log: positions are 1 .. last, without a hole
  digest     BLOB    NOT NULL,          -- the running digest at the end
  rewritten  INTEGER NOT NULL,          -- how many rows bear `was`
  bytes      INTEGER NOT NULL,          -- the sum of the plain bytes
  feed       INTEGER NOT NULL UNIQUE,   -- its newest place in `feed`
  made_at    INTEGER NOT NULL,          -- milliseconds since 1970, UTC, as all times here
  deleted_at INTEGER                    -- a tombstone: it never comes back
) STRICT;

-- Who wrote in a document, and what came last of them.
CREATE TABLE actor (
  id       INTEGER PRIMARY KEY,
  document INTEGER NOT NULL REFERENCES document (id),
  bytes    BLOB    NOT NULL,
  seq      INTEGER NOT NULL,
  position INTEGER NOT NULL,
  UNIQUE (document, bytes)
) STRICT;

-- The system of record: every change as it came, inflated.
CREATE TABLE change (
  id     INTEGER PRIMARY KEY,
  hash   BLOB    NOT NULL,
  lookup INTEGER NOT NULL,              -- document << 40 | first 40 bits of the hash: finds it, proves nothing
  actor  INTEGER NOT NULL REFERENCES actor (id),
  seq    INTEGER NOT NULL,
  deps   BLOB    NOT NULL,              -- positions of the dependencies, LEB128, each as (own - its)
  digest BLOB    NOT NULL,              -- first 16 bytes of SHA-256(digest of the row before || hash)
  bytes  BLOB    NOT NULL,              -- the plain Automerge chunk
  was    BLOB                           -- rewritten after a fork: the hash that it had before
) STRICT;
CREATE INDEX change_by_hash ON change (lookup);
CREATE INDEX change_by_was ON change (was) WHERE was IS NOT NULL;

-- The heads of each document: the rows that no other depends on.
CREATE TABLE head (
  id INTEGER PRIMARY KEY REFERENCES change (id)
) STRICT;

-- What happened to which document, in order. Its running digest is what makes `since` prove itself:
-- first 16 bytes of SHA-256(digest of the row before || uuid || digest of the log then || 1 if deleted, else 0).
CREATE TABLE feed (
  id       INTEGER PRIMARY KEY,
  document INTEGER NOT NULL REFERENCES document (id),
  digest   BLOB    NOT NULL
) STRICT;

-- Compact Automerge files made behind: caches, which may go at any time.
CREATE TABLE snapshot (
  document INTEGER PRIMARY KEY REFERENCES document (id),
  position INTEGER NOT NULL,            -- covers 1 .. position
  bytes    BLOB    NOT NULL,
  made_at  INTEGER NOT NULL,
  stop     INTEGER,                     -- the first change that it cannot hold, if one was met
  maker    TEXT    NOT NULL             -- the release that made it: another tries `stop` again
) STRICT;
