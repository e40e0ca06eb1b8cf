-- Typed slices: kinds of documents, companions for what stays on the device, versions of actions.

-- A companion holds the local-only slices of its document. It is a document of its own that nothing syncs:
-- not even its sequence numbers leave the device.
ALTER TABLE document ADD COLUMN companion_of INTEGER REFERENCES document (id);
-- Which slices it takes; NULL: all that are registered.
ALTER TABLE document ADD COLUMN kind TEXT;
CREATE UNIQUE INDEX document_companion ON document (companion_of) WHERE companion_of IS NOT NULL;

-- The version of the action's slice, where it is not 1.
ALTER TABLE change ADD COLUMN action_version INTEGER;

-- Up to which position the actions of older versions of a slice were migrated here.
CREATE TABLE slice_migrated (
  document INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
  slice    TEXT NOT NULL,
  version  INTEGER NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (document, slice)
) WITHOUT ROWID;

-- CROSS JOIN has SQLite begin with the queue, which is short, and not with every change there is.
DROP VIEW queue;
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
  CROSS JOIN change c ON c.id = p.id
  CROSS JOIN document d ON d.id = p.id >> 40
 WHERE c.container = 0
 ORDER BY p.ordinal, p.id;

DROP VIEW documents;
CREATE VIEW documents AS
SELECT d.uuid AS id,
       d.name AS name,
       d.heads AS heads,
       d.changes - (SELECT count(*) FROM change c
         WHERE c.container = 1 AND c.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1) AS changes,
       (SELECT count(*) FROM pending p CROSS JOIN change c ON c.id = p.id
         WHERE p.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1 AND c.container = 0 AND p.state <> 'parked') AS queued,
       d.cursor AS cursor,
       strftime('%Y-%m-%dT%H:%M:%fZ', d.last_sync_at / 1000.0, 'unixepoch') AS last_sync_at,
       d.server AS server,
       d.kind AS kind
  FROM document d
 WHERE d.tombstone IS NULL AND d.companion_of IS NULL;

DROP VIEW history;
CREATE VIEW history AS
SELECT d.uuid AS document,
       row_number() OVER (PARTITION BY d.id ORDER BY c.id) AS position,
       lower(hex(c.hash)) AS change_hash,
       lower(hex(c.replaced_by)) AS replaced_by,
       lower(hex(a.bytes)) AS actor,
       c.author AS author,
       c.action_type AS action_type,
       coalesce(c.action_version, 1) AS action_version,
       strftime('%Y-%m-%dT%H:%M:%fZ', c.made_at / 1000.0, 'unixepoch') AS made_at,
       CASE c.local WHEN 1 THEN 'local' ELSE 'remote' END AS origin,
       strftime('%Y-%m-%dT%H:%M:%fZ', c.acknowledged_at / 1000.0, 'unixepoch') AS acknowledged_at
  FROM change c
  JOIN actor a ON a.id = c.actor
  JOIN document d ON d.id = c.id >> 40
 WHERE c.container = 0 AND d.companion_of IS NULL
 ORDER BY c.id;
