-- A transaction over several documents is undone whole: its steps have one name, and each knows all its documents.
ALTER TABLE undo_step ADD COLUMN whole BLOB;      -- 16 random bytes; NULL: a step by itself
ALTER TABLE undo_step ADD COLUMN documents TEXT;  -- the UUIDs of its documents: a JSON array
CREATE INDEX undo_step_by_whole ON undo_step (whole, document) WHERE whole IS NOT NULL;
