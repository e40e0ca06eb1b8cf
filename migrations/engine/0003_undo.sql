-- Undo and redo: what each takes back, under the hash that it was first made with.
ALTER TABLE change ADD COLUMN target BLOB;

-- Undos are few beside the changes, and are looked through for what stands for what.
CREATE INDEX change_target ON change (id) WHERE target IS NOT NULL;

-- What a drop wrote again, by what it was: the old row is gone, and undos still name it.
CREATE TABLE renamed (
  document INTEGER NOT NULL REFERENCES document (id),
  was      BLOB NOT NULL,
  hash     BLOB NOT NULL,
  PRIMARY KEY (document, was)
) WITHOUT ROWID;
