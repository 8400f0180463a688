-- One append-only log. A row's id is the store's revision, so order, concurrency control and
-- watching all follow from one counter; AUTOINCREMENT never hands a number out twice.
CREATE TABLE log (
  revision  INTEGER PRIMARY KEY AUTOINCREMENT,
  type      TEXT NOT NULL CHECK (type IN ('ADDED', 'MODIFIED', 'DELETED')),
  resource  TEXT NOT NULL,            -- deployments.apps
  namespace TEXT NOT NULL,            -- '' for cluster-scoped kinds
  name      TEXT NOT NULL,
  previous  INTEGER NOT NULL,         -- revision of the object before this change, 0 = none
  body      BLOB NOT NULL             -- the object as JSON; for DELETED the final object
);
CREATE INDEX log_by_object ON log (resource, namespace, name, revision);

-- The newest revision whose predecessors may be missing; history starts after it.
CREATE TABLE compacted (revision INTEGER NOT NULL);
INSERT INTO compacted VALUES (0);
