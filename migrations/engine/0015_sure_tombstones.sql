-- A deletion that was heard of once is asked for again before anybody is told of it: another may have answered under its
-- server's address. 1: told by this store, or heard of again an hour or more later.
ALTER TABLE document ADD COLUMN tombstone_sure INTEGER NOT NULL DEFAULT 0;
UPDATE document SET tombstone_sure = 1 WHERE tombstone IS NOT NULL;
