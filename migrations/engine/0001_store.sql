-- The client's store. Tables are ours to change; the views at the end are public (CONTRACT: SQL).

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value ANY
) WITHOUT ROWID;

-- What changes with every commit, on one page. `commits` numbers the write transactions: it orders the
-- queue without a clock, and is the high-water mark that the side file is compared with.
CREATE TABLE pulse (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  commits INTEGER NOT NULL
);
INSERT INTO pulse (id, commits) VALUES (1, 0);

CREATE TABLE actor (
  id    INTEGER PRIMARY KEY,
  bytes BLOB NOT NULL UNIQUE
);

CREATE TABLE document (
  id           INTEGER PRIMARY KEY,
  uuid         TEXT NOT NULL UNIQUE,
  name         TEXT UNIQUE,
  server       TEXT,
  heads        TEXT NOT NULL DEFAULT '',   -- hex, sorted, separated by a space
  heads_at     TEXT NOT NULL DEFAULT '',   -- the positions of those heads, in the same order
  last         INTEGER NOT NULL DEFAULT 0, -- the highest position given out
  changes      INTEGER NOT NULL DEFAULT 0, -- live changes: not replaced, not quarantined
  epoch        INTEGER NOT NULL DEFAULT 0, -- counts rebuilds: a reader with another epoch opens again
  cursor       TEXT,                       -- the server's, up to which everything is here
  healing      INTEGER NOT NULL DEFAULT 0, -- the server did not know the cursor: offer what it lacks
  at_end       INTEGER NOT NULL DEFAULT 0, -- the last reply reached the end of the log
  tombstone    TEXT CHECK (tombstone IN ('owed', 'known')), -- deleted: the server is to be told, or knows
  last_sync_at INTEGER
);

-- The system of record: every change as it came. id = document << 40 | position.
CREATE TABLE change (
  id              INTEGER PRIMARY KEY,
  hash            BLOB NOT NULL,
  actor           INTEGER NOT NULL REFERENCES actor (id),
  seq             INTEGER NOT NULL,
  deps            BLOB NOT NULL,           -- positions of the dependencies, LEB128, each as (own - its)
  bytes           BLOB NOT NULL,           -- the plain Automerge chunk
  container       INTEGER NOT NULL DEFAULT 0, -- a deterministic container change: no line of its own
  action_type     TEXT,
  author          TEXT,
  made_at         INTEGER NOT NULL,        -- milliseconds since 1970, UTC
  local           INTEGER NOT NULL,
  acknowledged_at INTEGER,
  was             BLOB,                    -- the spelling it had before it was rewritten after a fork
  loser           INTEGER NOT NULL DEFAULT 0, -- another change has its actor and number in the server's log
  replaced_by     BLOB,                    -- it stands as this hash now, and is no longer live
  quarantined     TEXT                     -- why it is never given to the library
);

-- Container changes are few: found by their place and hash without walking the document.
CREATE INDEX change_container ON change (id, hash) WHERE container = 1;
CREATE INDEX change_was ON change (was, id) WHERE was IS NOT NULL;
CREATE INDEX change_quarantined ON change (id) WHERE quarantined IS NOT NULL;

-- The queue: a row for each change that the server does not provably hold.
CREATE TABLE pending (
  id              INTEGER PRIMARY KEY REFERENCES change (id),
  ordinal         INTEGER NOT NULL,        -- pulse.commits when it was enqueued
  action          TEXT,                    -- NULL: a container change, or one that no action here made
  enqueued_at     INTEGER NOT NULL,
  attempts        INTEGER NOT NULL DEFAULT 0,
  last_attempt_at INTEGER,
  last_error      TEXT,
  next_attempt_at INTEGER,
  state           TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'parked'))
);

-- A cache: the document up to a position, from which it opens faster. Never the only copy of anything.
CREATE TABLE snapshot (
  document INTEGER PRIMARY KEY REFERENCES document (id),
  position INTEGER NOT NULL,
  epoch    INTEGER NOT NULL,
  bytes    BLOB NOT NULL
);

CREATE TABLE effect (
  id              TEXT PRIMARY KEY,
  action          BLOB NOT NULL,
  kind            TEXT NOT NULL,
  state           TEXT NOT NULL,
  attempts        INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER,
  last_error      TEXT
) WITHOUT ROWID;

CREATE VIEW queue AS
SELECT row_number() OVER (ORDER BY p.ordinal, p.id) AS position,
       d.uuid AS document,
       c.action_type AS action_type,
       p.action AS action,
       lower(hex(c.hash)) AS change_hash,
       strftime('%Y-%m-%dT%H:%M:%fZ', p.enqueued_at / 1000.0, 'unixepoch') AS enqueued_at,
       p.attempts AS attempts,
       strftime('%Y-%m-%dT%H:%M:%fZ', p.last_attempt_at / 1000.0, 'unixepoch') AS last_attempt_at,
       p.last_error AS last_error,
       strftime('%Y-%m-%dT%H:%M:%fZ', p.next_attempt_at / 1000.0, 'unixepoch') AS next_attempt_at,
       p.state AS state
  FROM pending p
  JOIN change c ON c.id = p.id
  JOIN document d ON d.id = p.id >> 40
 WHERE c.container = 0
 ORDER BY p.ordinal, p.id;

CREATE VIEW documents AS
SELECT d.uuid AS id,
       d.name AS name,
       d.heads AS heads,
       d.changes - (SELECT count(*) FROM change c
         WHERE c.container = 1 AND c.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1) AS changes,
       (SELECT count(*) FROM pending p JOIN change c ON c.id = p.id
         WHERE p.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1 AND c.container = 0 AND p.state <> 'parked') AS queued,
       d.cursor AS cursor,
       strftime('%Y-%m-%dT%H:%M:%fZ', d.last_sync_at / 1000.0, 'unixepoch') AS last_sync_at,
       d.server AS server
  FROM document d
 WHERE d.tombstone IS NULL;

CREATE VIEW history AS
SELECT d.uuid AS document,
       row_number() OVER (PARTITION BY d.id ORDER BY c.id) AS position,
       lower(hex(c.hash)) AS change_hash,
       lower(hex(c.replaced_by)) AS replaced_by,
       lower(hex(a.bytes)) AS actor,
       c.author AS author,
       c.action_type AS action_type,
       strftime('%Y-%m-%dT%H:%M:%fZ', c.made_at / 1000.0, 'unixepoch') AS made_at,
       CASE c.local WHEN 1 THEN 'local' ELSE 'remote' END AS origin,
       strftime('%Y-%m-%dT%H:%M:%fZ', c.acknowledged_at / 1000.0, 'unixepoch') AS acknowledged_at
  FROM change c
  JOIN actor a ON a.id = c.actor
  JOIN document d ON d.id = c.id >> 40
 WHERE c.container = 0
 ORDER BY c.id;

CREATE VIEW effects AS
SELECT id, lower(hex(action)) AS action, kind, state, attempts,
       strftime('%Y-%m-%dT%H:%M:%fZ', next_attempt_at / 1000.0, 'unixepoch') AS next_attempt_at, last_error
  FROM effect;
