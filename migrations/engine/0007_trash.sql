-- Where documents live, so that a deletion is believed from there and from nowhere else; and the trash.

-- The server where it lives: it was named for this document, or gave a cursor or took a push while it was the
-- server that this store syncs with. NULL: none has proved it yet.
ALTER TABLE document ADD COLUMN home TEXT;
-- Whose log the cursor is a place in: shown to no other.
ALTER TABLE document ADD COLUMN cursor_from TEXT;
-- Which server has the tombstone. NULL: none is known to, and none is told.
ALTER TABLE document ADD COLUMN tombstone_from TEXT;
-- A server where it does not live said that it was deleted, and none has served it since.
ALTER TABLE document ADD COLUMN not_served_by TEXT;

-- Deleted documents whose changes are kept.
CREATE TABLE trash (
  document   INTEGER PRIMARY KEY REFERENCES document (id) ON DELETE CASCADE,
  by_others  INTEGER NOT NULL,             -- 0: deleted by this store
  name       TEXT,                         -- what it was called; the name is free for others
  deleted_at INTEGER NOT NULL,             -- milliseconds since 1970, UTC: when it was learnt here
  looked_at  INTEGER,                      -- when a person first saw what was never sent
  bytes      INTEGER NOT NULL              -- what its changes take
);

-- What was in the queue of a deleted document: made here, and never sent.
CREATE TABLE unsent (
  id          INTEGER PRIMARY KEY REFERENCES change (id),
  ordinal     INTEGER NOT NULL,
  action      TEXT,
  enqueued_at INTEGER NOT NULL,
  state       TEXT NOT NULL                -- as it was in the queue
);

-- Stores of before. The server that is set is taken for the home of what was synced. A tombstone may have come from
-- any server that the store was once pointed to: it is kept, and told to none.
UPDATE document SET cursor_from = coalesce(server, (SELECT value FROM meta WHERE key = 'server'))
 WHERE cursor IS NOT NULL;
UPDATE document SET home = coalesce(server, (SELECT value FROM meta WHERE key = 'server'))
 WHERE cursor IS NOT NULL OR server IS NOT NULL;

INSERT INTO trash (document, by_others, deleted_at, bytes)
SELECT d.id, d.tombstone = 'known', CAST(strftime('%s', 'now') AS INTEGER) * 1000,
       (SELECT coalesce(sum(length(c.bytes)), 0) FROM change c WHERE c.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1)
  FROM document d WHERE d.tombstone IS NOT NULL AND d.last > 0;

-- Their queue was thrown away then; what no server ever acknowledged tells what was in it.
INSERT INTO unsent (id, ordinal, action, enqueued_at, state)
SELECT c.id, 0, NULL, c.made_at, 'waiting'
  FROM document d CROSS JOIN change c ON c.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1
 WHERE d.tombstone = 'known' AND c.local = 1 AND c.acknowledged_at IS NULL AND c.replaced_by IS NULL;
INSERT INTO unsent (id, ordinal, action, enqueued_at, state)
SELECT p.id, p.ordinal, p.action, p.enqueued_at, p.state
  FROM document d CROSS JOIN pending p ON p.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1
 WHERE d.tombstone = 'owed';
DELETE FROM pending WHERE id IN (SELECT id FROM unsent);
