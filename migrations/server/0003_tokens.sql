-- Who may do what. Of a token only the SHA-256 is kept. Rows stay after a revocation: a server that ever had a token
-- never again serves without one.
CREATE TABLE token (
  id         INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL,
  hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
  document   BLOB    CHECK (length(document) = 16),  -- its UUID; NULL: `access` holds for every document
  access     TEXT    NOT NULL CHECK (access IN ('read', 'write', 'create', 'admin')),
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT;
-- A name can be given again once its token was revoked.
CREATE UNIQUE INDEX token_in_use ON token (name) WHERE revoked_at IS NULL;

-- What a token may do beyond that: documents that it began (admin), and those it was granted.
-- A document is named by its UUID: it may be granted before it begins here.
CREATE TABLE token_document (
  token    INTEGER NOT NULL REFERENCES token (id),
  document BLOB    NOT NULL CHECK (length(document) = 16),
  access   TEXT    NOT NULL CHECK (access IN ('read', 'write', 'admin')),
  PRIMARY KEY (token, document)
) STRICT, WITHOUT ROWID;
