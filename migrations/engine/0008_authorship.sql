-- Who did it. `change.local` says that this store dispatched it, and nothing that came from elsewhere is local,
-- whatever actor it names.

-- An actor under which this store has dispatched: what comes from elsewhere under it is shown so.
ALTER TABLE actor ADD COLUMN own INTEGER NOT NULL DEFAULT 0;
UPDATE actor SET own = 1 WHERE id IN (SELECT actor FROM change WHERE local = 1 AND container = 0);

-- Who pushed a change, where its server says it.
CREATE TABLE pusher (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);
ALTER TABLE change ADD COLUMN pusher INTEGER REFERENCES pusher (id);
-- Up to where the server was asked who pushed.
ALTER TABLE document ADD COLUMN pushers_cursor TEXT;

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
       strftime('%Y-%m-%dT%H:%M:%fZ', c.acknowledged_at / 1000.0, 'unixepoch') AS acknowledged_at,
       (SELECT p.name FROM pusher p WHERE p.id = c.pusher) AS pushed_by
  FROM change c
  JOIN actor a ON a.id = c.actor
  JOIN document d ON d.id = c.id >> 40
 WHERE c.container = 0 AND d.companion_of IS NULL
 ORDER BY c.id;
