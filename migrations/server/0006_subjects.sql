-- Documents that were begun with a JWT that says `create`: whoever bears one for this subject is admin of them.
-- Nothing else of a JWT is stored.
CREATE TABLE subject_document (
  subject  TEXT NOT NULL,               -- its `sub`
  document BLOB NOT NULL CHECK (length(document) = 16),
  PRIMARY KEY (subject, document)
) STRICT, WITHOUT ROWID;
