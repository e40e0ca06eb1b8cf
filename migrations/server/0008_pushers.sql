-- Who pushed what: the names of tokens and the subjects of JWTs, by runs of a log. What was pushed where nobody is
-- asked for a token, and before this step, is nobody's.
CREATE TABLE pusher (
  id   INTEGER PRIMARY KEY,
  name TEXT    NOT NULL UNIQUE           -- "token:" and the token's name then, or "jwt:" and the `sub`
) STRICT;

-- A run begins at a position, and ends where the next one begins or the log does. Positions outlive packing.
CREATE TABLE pushed (
  id     INTEGER PRIMARY KEY,            -- document << 40 | position of the first change of the run
  pusher INTEGER REFERENCES pusher (id)  -- NULL: nobody's
) STRICT;
