-- Effects: what actions ask of the outside (an HTTP request, say), sent when there is a connection.
-- Until here the table was never written to.

DROP VIEW effects;
DROP TABLE effect;

CREATE TABLE effect (
  ordinal         INTEGER PRIMARY KEY,     -- given out under the write lock: the order in a lane, no clock's
  id              TEXT NOT NULL UNIQUE,    -- a UUID, and the Idempotency-Key of every attempt
  document        TEXT NOT NULL,           -- its UUID: the effect outlives a document that is left
  change_hash     BLOB NOT NULL,           -- the action that asked; follows when the change is written again
  action_type     TEXT,
  action          TEXT,                    -- JSON
  kind            TEXT NOT NULL,           -- which handler: "http", or the app's own
  lane            TEXT NOT NULL,           -- first in, first out; lanes run side by side
  request         TEXT NOT NULL,           -- JSON, for the handler
  coalesce_key    TEXT,
  replaced_by     TEXT,                    -- coalesced: this effect stands for it, and does its rollback too
  commit_action   TEXT,                    -- JSON
  rollback        TEXT,                    -- JSON: an action, or the undoing of what the action did
  rolled_back     INTEGER NOT NULL DEFAULT 0,
  state           TEXT NOT NULL DEFAULT 'waiting'
                  CHECK (state IN ('waiting', 'running', 'held', 'done', 'dead', 'dropped')),
  attempts        INTEGER NOT NULL DEFAULT 0, -- how often sending it began
  failures        INTEGER NOT NULL DEFAULT 0, -- failed attempts since it was made or sent again: the next delay
  charged         INTEGER NOT NULL DEFAULT 0, -- those of them that count against the limit
  attempt_limit   INTEGER NOT NULL,
  timeout         INTEGER NOT NULL,        -- milliseconds for one attempt
  next_attempt_at INTEGER,
  created_at      INTEGER NOT NULL,        -- milliseconds since 1970, UTC, as every time here
  deadline_at     INTEGER,
  owner           TEXT,                    -- the process that sends it, and which of its leases
  lease_until     INTEGER,
  last_error      TEXT,
  outcome         TEXT,                    -- JSON: what came back
  settled_at      INTEGER,
  settled_change  BLOB                     -- the change that its commit or rollback action made
);

CREATE INDEX effect_lane ON effect (lane, ordinal) WHERE state IN ('waiting', 'running', 'held');
CREATE INDEX effect_deadline ON effect (deadline_at)
 WHERE deadline_at IS NOT NULL AND state IN ('waiting', 'running', 'held');
CREATE INDEX effect_state ON effect (state, ordinal);
CREATE INDEX effect_change ON effect (change_hash);
CREATE INDEX effect_replaced ON effect (replaced_by) WHERE replaced_by IS NOT NULL;

-- What has to be done before an effect is sent.
CREATE TABLE effect_after (
  effect TEXT NOT NULL,
  after  TEXT NOT NULL,
  PRIMARY KEY (effect, after)
) WITHOUT ROWID;
CREATE INDEX effect_before ON effect_after (after);

CREATE VIEW effects AS
SELECT e.id AS id,
       lower(hex(e.change_hash)) AS action,
       e.kind AS kind,
       e.state AS state,
       e.attempts AS attempts,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.next_attempt_at / 1000.0, 'unixepoch') AS next_attempt_at,
       e.last_error AS last_error,
       e.document AS document,
       e.action_type AS action_type,
       e.action AS action_json,
       e.lane AS lane,
       e.request AS request,
       e.coalesce_key AS coalesce_key,
       (SELECT group_concat(a.after, ' ') FROM effect_after a WHERE a.effect = e.id) AS after,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.created_at / 1000.0, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.deadline_at / 1000.0, 'unixepoch') AS deadline_at,
       e.outcome AS outcome,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.settled_at / 1000.0, 'unixepoch') AS settled_at,
       lower(hex(e.settled_change)) AS settled_change,
       e.replaced_by AS replaced_by
  FROM effect e
 ORDER BY e.ordinal;
