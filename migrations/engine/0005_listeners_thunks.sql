-- Listeners with a durable position, and thunks: work that survives the process that began it.

-- A listener begins at the place where its name was first registered, or at the start of the history.
CREATE TABLE listener (
  name       TEXT PRIMARY KEY,
  created_at INTEGER NOT NULL              -- milliseconds since 1970, UTC, as every time here
) WITHOUT ROWID;

-- How far a listener has heard a document. No row: from the document's first change.
CREATE TABLE listening (
  listener        TEXT NOT NULL REFERENCES listener (name) ON DELETE CASCADE,
  document        INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
  position        INTEGER NOT NULL,        -- everything up to it was heard, or is not for this listener
  state           TEXT NOT NULL DEFAULT 'listening' CHECK (state IN ('listening', 'parked')),
  attempts        INTEGER NOT NULL DEFAULT 0, -- failed ones, of the action after the position
  last_error      TEXT,
  next_attempt_at INTEGER,
  owner           TEXT,                    -- the process that hears it, and which of its leases
  lease_until     INTEGER,
  PRIMARY KEY (listener, document)
) WITHOUT ROWID;
CREATE INDEX listening_document ON listening (document);

-- What a listener is not to hear when it comes to it: its own reactions, and what it heard in another place
-- before a queued change was taken back.
CREATE TABLE heard (
  listener TEXT NOT NULL REFERENCES listener (name) ON DELETE CASCADE,
  document INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
  hash     BLOB NOT NULL,
  PRIMARY KEY (listener, document, hash)
) WITHOUT ROWID;
CREATE INDEX heard_document ON heard (document);

CREATE TABLE thunk (
  ordinal         INTEGER PRIMARY KEY,
  id              TEXT NOT NULL UNIQUE,    -- a UUID
  name            TEXT NOT NULL,           -- which code runs it
  key             TEXT,                    -- of several with one name and key only the latest counts
  document        TEXT,                    -- its UUID: the thunk outlives a document that is left
  argument        TEXT NOT NULL,           -- JSON
  on_death        TEXT NOT NULL CHECK (on_death IN ('resume', 'reject')),
  fulfilled       TEXT,                    -- JSON: the action that follows
  rejected        TEXT,                    -- JSON: the action that follows
  state           TEXT NOT NULL DEFAULT 'pending'
                  CHECK (state IN ('pending', 'fulfilled', 'rejected', 'aborted')),
  attempts        INTEGER NOT NULL DEFAULT 0, -- how often it was begun
  deaths          INTEGER NOT NULL DEFAULT 0, -- how many processes died while they ran it
  owner           TEXT,                    -- the process that runs it, and which of its leases
  lease_until     INTEGER,
  result          TEXT,                    -- JSON
  error           TEXT,
  created_at      INTEGER NOT NULL,
  started_at      INTEGER,
  settled_at      INTEGER,
  settled_change  BLOB,                    -- the change that the action after it made
  superseded_by   TEXT,                    -- the later one with its name and key
  changed         INTEGER NOT NULL         -- pulse.commits when it was last written: what others did is found by it
);

CREATE INDEX thunk_pending ON thunk (name, key, ordinal) WHERE state = 'pending';
CREATE INDEX thunk_state ON thunk (state, ordinal);
CREATE INDEX thunk_changed ON thunk (changed);

CREATE VIEW listeners AS
SELECT l.listener AS name,
       coalesce(of.uuid, d.uuid) AS document,
       l.position AS position,
       d.last AS last,
       l.state AS state,
       l.owner IS NOT NULL AS running,
       l.attempts AS attempts,
       l.last_error AS last_error,
       strftime('%Y-%m-%dT%H:%M:%fZ', l.next_attempt_at / 1000.0, 'unixepoch') AS next_attempt_at
  FROM listening l
  JOIN document d ON d.id = l.document
  LEFT JOIN document of ON of.id = d.companion_of
 ORDER BY l.listener, d.id;

CREATE VIEW thunks AS
SELECT id, name, key, document, argument, state,
       owner IS NOT NULL AS running,
       attempts, result, error,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', settled_at / 1000.0, 'unixepoch') AS settled_at,
       lower(hex(settled_change)) AS settled_change,
       superseded_by
  FROM thunk
 ORDER BY ordinal;
