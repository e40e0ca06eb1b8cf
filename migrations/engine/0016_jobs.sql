-- Effects and thunks are one thing: a job, which a process takes under a lease, tries, and settles once. So they are in
-- one table. The views show them as before.

DROP VIEW effects;
DROP VIEW thunks;

CREATE TABLE job (
  ordinal         INTEGER PRIMARY KEY,     -- given out under the write lock: the order in a lane, no clock's
  kind            TEXT NOT NULL CHECK (kind IN ('effect', 'thunk')),
  position        INTEGER NOT NULL,        -- its place among those of its kind
  id              TEXT NOT NULL,           -- a UUID, and the Idempotency-Key of every attempt
  name            TEXT NOT NULL,           -- which handler sends the effect ("http", or the app's own); which code is the thunk
  key             TEXT,                    -- of effects that wait, and of thunks, only the latest of a name and key counts
  document        TEXT,                    -- its UUID: the job outlives a document that is left
  payload         TEXT NOT NULL,           -- JSON: the request of an effect, the argument of a thunk
  follow_ups      TEXT NOT NULL,           -- JSON: what is recorded with each way to end
  state           TEXT NOT NULL DEFAULT 'waiting'
                  CHECK (state IN ('waiting', 'running', 'held', 'done', 'dead', 'dropped')),
  attempts        INTEGER NOT NULL DEFAULT 0, -- how often it was begun
  failures        INTEGER NOT NULL DEFAULT 0, -- failed attempts since it was made or sent again: the next delay
  charged         INTEGER NOT NULL DEFAULT 0, -- those of them that count against the limit, as the death of a process does
  attempt_limit   INTEGER NOT NULL,        -- 1: it must not be begun twice, if it is a thunk
  next_attempt_at INTEGER,
  deadline_at     INTEGER,
  owner           TEXT,                    -- the process that does it, and which of its leases
  lease_until     INTEGER,
  error           TEXT,
  outcome         TEXT,                    -- JSON: what came back; of a thunk its output, or what it returned as its error
  created_at      INTEGER NOT NULL,        -- milliseconds since 1970, UTC, as every time here
  started_at      INTEGER,
  settled_at      INTEGER,
  settled_change  BLOB,                    -- the change that the action after it made
  replaced_by     TEXT,                    -- the later one that stands for it; an effect's rollback is done with that one's
  -- Of an effect.
  change_hash     BLOB,                    -- the action that asked; follows when the change is written again
  action_type     TEXT,
  action          TEXT,                    -- JSON
  lane            TEXT,                    -- first in, first out; lanes run side by side
  timeout         INTEGER,                 -- milliseconds for one attempt
  rollback        TEXT CHECK (rollback IN ('owed', 'done')), -- NULL: there is none
  -- Of a thunk.
  cause           TEXT,                    -- why there is no output; NULL: there is one, or it is pending
  follow_error    TEXT,                    -- why the action that follows failed
  changed         INTEGER,                 -- pulse.commits when it was last written: what others did is found by it
  UNIQUE (kind, position),
  UNIQUE (kind, id),
  CHECK (kind = 'thunk' OR (document IS NOT NULL AND change_hash IS NOT NULL AND lane IS NOT NULL AND timeout IS NOT NULL)),
  CHECK (kind = 'effect' OR changed IS NOT NULL)
);

-- Texts are put together as they are: what is no JSON stays where it was, and stops nobody.
INSERT INTO job (kind, position, id, name, key, document, payload, follow_ups, state, attempts, failures, charged,
                 attempt_limit, next_attempt_at, deadline_at, owner, lease_until, error, outcome, created_at, settled_at,
                 settled_change, replaced_by, change_hash, action_type, action, lane, timeout, rollback)
SELECT 'effect', ordinal, id, kind, coalesce_key, document, request,
       '{"done":' || coalesce(commit_action, 'null') || ',"dead":' || coalesce(rollback, 'null') || '}',
       state, attempts, failures, charged, attempt_limit, next_attempt_at, deadline_at, owner, lease_until, last_error,
       outcome, created_at, settled_at, settled_change, replaced_by, change_hash, action_type, action, lane, timeout,
       CASE WHEN rollback IS NULL THEN NULL WHEN rolled_back THEN 'done' ELSE 'owed' END
  FROM effect ORDER BY ordinal;

-- A death is a failure that counts: one that must not be begun twice is given up after one, any other after five.
INSERT INTO job (kind, position, id, name, key, document, payload, follow_ups, state, attempts, failures, charged,
                 attempt_limit, owner, lease_until, error, outcome, created_at, started_at, settled_at, settled_change,
                 replaced_by, cause, follow_error, changed)
SELECT 'thunk', ordinal, id, name, key, document, argument,
       '{"done":' || coalesce(fulfilled, 'null')
         || ',"dead":' || coalesce('{"action":' || rejected || '}', 'null')
         || ',"aborted":' || coalesce(aborted, 'null')
         || ',"superseded":' || coalesce(superseded, 'null')
         || ',"orphaned":' || coalesce(orphaned, 'null') || '}',
       CASE state WHEN 'fulfilled' THEN 'done' WHEN 'rejected' THEN 'dead' WHEN 'aborted' THEN 'dropped'
                  ELSE CASE WHEN owner IS NULL THEN 'waiting' ELSE 'running' END END,
       attempts, deaths, deaths, CASE on_death WHEN 'reject' THEN 1 ELSE 5 END, owner, lease_until, error,
       CASE state WHEN 'fulfilled' THEN result ELSE rejection END, created_at, started_at, settled_at, settled_change,
       superseded_by, cause, follow_error, changed
  FROM thunk ORDER BY ordinal;

DROP TABLE effect;
DROP TABLE thunk;

CREATE INDEX job_open ON job (kind, lane, ordinal) WHERE state IN ('waiting', 'running', 'held');
CREATE INDEX job_named ON job (name, key, ordinal) WHERE kind = 'thunk' AND state IN ('waiting', 'running', 'held');
CREATE INDEX job_deadline ON job (deadline_at)
 WHERE deadline_at IS NOT NULL AND state IN ('waiting', 'running', 'held');
CREATE INDEX job_state ON job (kind, state, ordinal);
CREATE INDEX job_change ON job (change_hash) WHERE change_hash IS NOT NULL;
CREATE INDEX job_replaced ON job (replaced_by) WHERE replaced_by IS NOT NULL;
CREATE INDEX job_changed ON job (changed) WHERE changed IS NOT NULL;

CREATE VIEW effects AS
SELECT j.id AS id,
       lower(hex(j.change_hash)) AS action,
       j.name AS kind,
       j.state AS state,
       j.attempts AS attempts,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.next_attempt_at / 1000.0, 'unixepoch') AS next_attempt_at,
       j.error AS last_error,
       j.document AS document,
       j.action_type AS action_type,
       j.action AS action_json,
       j.lane AS lane,
       j.payload AS request,
       j.key AS coalesce_key,
       (SELECT group_concat(a.after, ' ') FROM effect_after a WHERE a.effect = j.id) AS after,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.created_at / 1000.0, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.deadline_at / 1000.0, 'unixepoch') AS deadline_at,
       j.outcome AS outcome,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.settled_at / 1000.0, 'unixepoch') AS settled_at,
       lower(hex(j.settled_change)) AS settled_change,
       j.replaced_by AS replaced_by
  FROM job j
 WHERE j.kind = 'effect'
 ORDER BY j.position;

CREATE VIEW thunks AS
SELECT id, name, key, document, payload AS argument,
       CASE state WHEN 'done' THEN 'fulfilled' WHEN 'dead' THEN 'rejected' WHEN 'dropped' THEN 'aborted'
                  ELSE 'pending' END AS state,
       owner IS NOT NULL AS running,
       attempts,
       CASE state WHEN 'done' THEN outcome END AS result,
       error,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', settled_at / 1000.0, 'unixepoch') AS settled_at,
       lower(hex(settled_change)) AS settled_change,
       replaced_by AS superseded_by, cause,
       CASE cause WHEN 'returned' THEN outcome END AS rejection,
       follow_error
  FROM job
 WHERE kind = 'thunk'
 ORDER BY position;
