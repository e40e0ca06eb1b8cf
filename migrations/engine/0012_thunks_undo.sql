-- How a thunk ended, and the actions that follow each way to end.
ALTER TABLE thunk ADD COLUMN aborted      TEXT;  -- JSON: the action that follows
ALTER TABLE thunk ADD COLUMN superseded   TEXT;  -- JSON: the action that follows
ALTER TABLE thunk ADD COLUMN orphaned     TEXT;  -- JSON: the action that follows
ALTER TABLE thunk ADD COLUMN cause        TEXT;  -- why there is no output; NULL: there is one, or it is pending
ALTER TABLE thunk ADD COLUMN rejection    TEXT;  -- JSON: what it returned as its error
ALTER TABLE thunk ADD COLUMN follow_error TEXT;  -- why the action that follows failed

-- Until here an orphan was followed by the action of a rejection, and what went wrong was told in one text.
UPDATE thunk SET orphaned = rejected WHERE state = 'pending';
UPDATE thunk SET follow_error = replace(error, 'the action after it failed: ', ''), error = NULL
 WHERE state = 'fulfilled';
UPDATE thunk SET cause = CASE
    WHEN state = 'aborted' AND superseded_by IS NOT NULL THEN 'superseded'
    WHEN state = 'aborted' THEN 'aborted'
    WHEN error LIKE 'it panicked: %' THEN 'panicked'
    WHEN error LIKE 'it did not end within %' THEN 'timed_out'
    WHEN error LIKE 'its argument cannot be read: %' OR error LIKE 'its result%' THEN 'unreadable'
    WHEN error LIKE 'the process that ran it ended before it did%' OR error LIKE 'given up: %'
      OR error LIKE 'it was broken off before it ended%' THEN 'orphaned'
    ELSE 'returned' END
 WHERE state IN ('rejected', 'aborted');
UPDATE thunk SET rejection = json_quote(error) WHERE cause = 'returned';

DROP VIEW thunks;
CREATE VIEW thunks AS
SELECT id, name, key, document, argument, state,
       owner IS NOT NULL AS running,
       attempts, result, error,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', settled_at / 1000.0, 'unixepoch') AS settled_at,
       lower(hex(settled_change)) AS settled_change,
       superseded_by, cause, rejection, follow_error
  FROM thunk
 ORDER BY ordinal;

-- How an action stands in undo, where that is not as usual. It is this store's own matter, as the walk through the
-- changes made here is: nothing of it is in the change.
CREATE TABLE undo_step (
  document  INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
  hash      BLOB NOT NULL,                 -- the change, as it was made: written again, it is found by that
  undoable  INTEGER NOT NULL DEFAULT 1,    -- 0: it is passed by
  label     TEXT,                          -- what a menu calls it; NULL: its type
  group_key TEXT,                          -- what comes soon after it under the same key joins its step
  step      BLOB,                          -- the first change of the step that it is a part of
  part      INTEGER NOT NULL DEFAULT 1,    -- which part of a group it is, from 1
  made_at   INTEGER NOT NULL,              -- milliseconds since 1970, UTC
  PRIMARY KEY (document, hash)
) WITHOUT ROWID;

-- What followed effects and thunks is passed by from now on, also when their rows are gone.
INSERT OR IGNORE INTO undo_step (document, hash, undoable, made_at)
SELECT d.id, w.settled_change, 0, coalesce(w.settled_at, 0)
  FROM (SELECT document, settled_change, settled_at FROM effect
        UNION ALL SELECT document, settled_change, settled_at FROM thunk) w
  JOIN document d ON d.uuid = w.document
 WHERE w.settled_change IS NOT NULL;
