-- How far changes count: see `fence::Reach`. Of nearly all it follows from their own bytes, and these have no row.
CREATE TABLE reach (
  id    INTEGER PRIMARY KEY,            -- document << 40 | position
  last  INTEGER NOT NULL,
  slack INTEGER NOT NULL
);

-- Up to which position the changes of a document were measured. What is after it is measured when something arrives.
CREATE TABLE measured (
  document INTEGER PRIMARY KEY,
  position INTEGER NOT NULL
);

CREATE TRIGGER reach_goes AFTER DELETE ON change BEGIN
  DELETE FROM reach WHERE id = OLD.id;
END;
CREATE TRIGGER measured_goes AFTER DELETE ON document BEGIN
  DELETE FROM measured WHERE document = OLD.id;
END;
