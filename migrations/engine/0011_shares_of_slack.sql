-- How much of the slack a change's own actor used: see `fence::Reach`.
ALTER TABLE reach ADD COLUMN own INTEGER NOT NULL DEFAULT 0;

-- What passed over counters is measured again, for the rows do not say who did it.
DELETE FROM measured WHERE document IN (SELECT id >> 40 FROM reach WHERE slack > 0);
