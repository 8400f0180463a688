"""The object store on SQLite: an append-only log on disk, the current objects in memory.

Why both: the log gives durability, history and one counter; the objects in memory make reading
free and let every watcher share one copy. The file belongs to one process (exclusive lock), so
the memory can't go stale.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

import nodrop
from nodrop.model.catalogue import Catalogue
from nodrop.model.kinds import CUSTOMRESOURCEDEFINITION, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision
from nodrop.store.migrations import SCHEMA_VERSION, create, migrate
from nodrop.store.protocol import (
    ABSENT,
    Change,
    ChangeType,
    Expired,
    PreconditionFailed,
    StoreCorrupt,
    Stored,
    StoreFailure,
    Write,
)

log = logging.getLogger(__name__)

#: "ndrp" in ASCII: tells our files from other programs' SQLite files.
APPLICATION_ID = 0x6E647270

#: History kept for watchers that come back. A watcher away for a minute at 150 writes/s finds its
#: place; at about 4 KB an object the file stays below some 50 MB.
KEEP_REVISIONS = 10_000
#: Compaction runs once in so many writes, so that each run is short: about 2 ms.
COMPACT_EVERY = 100

_INSERT = (
    "INSERT INTO log (revision, type, resource, namespace, name, previous, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
# Definitions first: they say of which kind the objects of custom kinds are.
_CURRENT = f"""
SELECT revision, resource, namespace, name, body FROM log
WHERE revision IN (SELECT max(revision) FROM log GROUP BY resource, namespace, name)
AND type != 'DELETED' ORDER BY resource != '{CUSTOMRESOURCEDEFINITION.resource}'
"""
_AT = """
SELECT revision, namespace, name, body FROM log
WHERE revision IN (
  SELECT max(revision) FROM log WHERE resource = ? AND revision <= ? GROUP BY namespace, name
) AND type != 'DELETED' ORDER BY namespace, name
"""
_AFTER = """
SELECT log.revision, log.type, log.resource, log.namespace, log.name, log.body, before.body
FROM log LEFT JOIN log AS before ON before.revision = log.previous
WHERE log.revision > ? AND (? = '' OR log.resource = ?) ORDER BY log.revision
"""
# What was overwritten is what a later row names as its previous one; rows up to the last
# compaction have lost theirs already, so the cost follows the batch, not the file.
_DROP_OVERWRITTEN = """
DELETE FROM log WHERE revision IN (
  SELECT previous FROM log WHERE revision > ? AND revision <= ?
)
"""
_DROP_DELETED = "DELETE FROM log WHERE revision > ? AND revision <= ? AND type = 'DELETED'"


class SqliteStore:
    """A Store in one file, or in memory for ``":memory:"``.

    ``synchronous=NORMAL``: an acknowledged write survives kill -9 of this process; only a crash
    of the machine itself may take the last writes, never the file's integrity.
    """

    def __init__(self, path: Path | str, *, keep_revisions: int = KEEP_REVISIONS) -> None:
        self._path = str(path)
        self._keep_revisions = keep_revisions
        self._kinds = Catalogue()
        # By resource; a kind whose definition has gone stays, for the history that names it.
        self._resources = {kind.resource: kind for kind in self._kinds.stored}
        self._objects: dict[Kind, dict[ObjectKey, Stored]] = defaultdict(dict)
        self._sorted: dict[Kind, list[Stored] | None] = {}
        self._revision = Revision(0)
        self._compacted = Revision(0)
        self._db = _connect(self._path)
        try:
            self._load()
        except BaseException:
            self._db.close()
            raise

    @property
    def revision(self) -> Revision:
        return self._revision

    @property
    def compacted(self) -> Revision:
        return self._compacted

    @property
    def kinds(self) -> Catalogue:
        return self._kinds

    def get(self, key: ObjectKey) -> Stored | None:
        return self._objects[key.kind].get(key)

    def list(
        self, kind: Kind, *, namespace: str | None = None, at: Revision | None = None
    ) -> Sequence[Stored]:
        found = self._latest(kind) if at is None or at == self._revision else self._at(kind, at)
        if namespace is None:
            return found
        return [one for one in found if one.obj["metadata"].get("namespace", "") == namespace]

    def commit(self, write: Write) -> Change:
        key = write.key
        before = self.get(key)
        actual = before.revision if before else ABSENT
        if actual != write.expected or (write.delete and before is None):
            raise PreconditionFailed(key, write.expected, actual)
        revision = Revision(self._revision + 1)
        change_type: ChangeType = "DELETED" if write.delete else "MODIFIED" if before else "ADDED"
        obj = self._insert(write, change_type, revision, previous=actual)
        change = Change(change_type, key, obj, before.obj if before else None, revision)
        self._remember(change)
        self._compact_now_and_then()
        return change

    def after(self, since: Revision, kind: Kind | None = None) -> Sequence[Change]:
        if since >= self._revision:
            return []
        self._check_kept(since)
        resource = kind.resource if kind else ""
        rows = self._execute(_AFTER, (since, resource, resource))
        return [self._change(row) for row in rows if row[2] in self._resources]

    def compact(self, before: Revision) -> None:
        before = min(before, self._revision)
        if before <= self._compacted:
            return
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute(_DROP_OVERWRITTEN, (self._compacted, before))
                self._db.execute(_DROP_DELETED, (self._compacted, before))
                self._db.execute("UPDATE compacted SET revision = ?", (before,))
        except sqlite3.Error as error:
            raise StoreFailure(f"compacting {self._path} failed: {error}") from error
        self._compacted = before

    def check(self) -> None:
        """Raise StoreFailure when the file can't be read."""
        self._execute("SELECT revision FROM compacted", ())

    def close(self) -> None:
        self._db.close()

    # Private

    def _load(self) -> None:
        try:
            _prepare_schema(self._db, self._path)
            sequence = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'")
            self._revision = Revision((sequence.fetchone() or (0,))[0])
            self._compacted = Revision(
                self._db.execute("SELECT revision FROM compacted").fetchone()[0]
            )
            for revision, resource, namespace, name, body in self._db.execute(_CURRENT):
                key = ObjectKey(self._resources[resource], namespace, name)
                stored = self._objects[key.kind][key] = Stored(_decode(body), revision)
                if key.kind == CUSTOMRESOURCEDEFINITION:
                    self._define(stored.obj)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StoreFailure(
                    f"state file {self._path} is in use by another engine: stop that one first, "
                    "or choose another state folder"
                ) from error
            raise _corrupt(self._path, str(error)) from error
        except KeyError as error:
            raise StoreCorrupt(
                f"state file {self._path} holds objects of {error}, which nodrop "
                f"{nodrop.__version__} does not know: use the version of nodrop that wrote it, or "
                "another state folder"
            ) from error
        except (sqlite3.Error, msgspec.DecodeError, TypeError) as error:
            raise _corrupt(self._path, str(error)) from error

    def _insert(
        self, write: Write, change_type: ChangeType, revision: Revision, *, previous: Revision
    ) -> Obj:
        """Append to the log; returns the object as stored.

        It is decoded again, so that no writer holds a reference into the store.
        """
        key, body = write.key, msgspec.json.encode(at_revision(write.obj, revision))
        self._execute(
            _INSERT,
            (revision, change_type, key.kind.resource, key.namespace, key.name, previous, body),
        )
        return _decode(body)

    def _execute(self, statement: str, values: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreFailure(f"state file {self._path}: {error}") from error

    def _remember(self, change: Change) -> None:
        objects = self._objects[change.key.kind]
        if change.type == "DELETED":
            del objects[change.key]
        else:
            objects[change.key] = Stored(change.obj, change.revision)
        if change.key.kind == CUSTOMRESOURCEDEFINITION:
            self._define(change.obj, gone=change.type == "DELETED")
        self._sorted[change.key.kind] = None
        self._revision = change.revision

    def _define(self, definition: Obj, *, gone: bool = False) -> None:
        """Keep the catalogue in step with the definitions."""
        if gone:
            self._kinds.drop(definition)
        else:
            self._kinds.put(definition)
        self._resources |= {kind.resource: kind for kind in self._kinds.custom}

    def _change(self, row: tuple[Any, ...]) -> Change:
        revision, change_type, resource, namespace, name, body, before = row
        key = ObjectKey(self._resources[resource], namespace, name)
        obj = _decode(body)
        return Change(change_type, key, obj, None if before is None else _decode(before), revision)

    def _latest(self, kind: Kind) -> Sequence[Stored]:
        cached = self._sorted.get(kind)
        if cached is None:
            objects = self._objects[kind]
            order = sorted(objects, key=lambda key: (key.namespace, key.name))
            cached = self._sorted[kind] = [objects[key] for key in order]
        return cached

    def _at(self, kind: Kind, at: Revision) -> Sequence[Stored]:
        self._check_kept(at)
        return [
            Stored(_decode(body), revision)
            for revision, _, _, body in self._execute(_AT, (kind.resource, at))
        ]

    def _check_kept(self, asked: Revision) -> None:
        if asked < self._compacted:
            raise Expired(self._compacted, asked)

    def _compact_now_and_then(self) -> None:
        """Keep history bounded. The write before is done, so a failure here must not undo it."""
        before = Revision(self._revision - self._keep_revisions)
        if self._revision % COMPACT_EVERY or before <= self._compacted:
            return
        try:
            self.compact(before)
        except StoreFailure as error:
            log.warning("%s; trying again in %d writes", error, COMPACT_EVERY)


def _connect(path: str) -> sqlite3.Connection:
    if path != ":memory:" and not Path(path).exists():
        # A file that was moved away leaves its write-ahead log; it must not enter the new file.
        for suffix in ("-wal", "-shm"):
            Path(path + suffix).unlink(missing_ok=True)
    try:
        if path != ":memory:":
            _make_private(path)
        return sqlite3.connect(path, isolation_level=None, timeout=0.5)
    except (sqlite3.Error, OSError) as error:
        raise StoreFailure(f"state file {path} can't be opened: {error}") from error


def _make_private(path: str) -> None:
    """0600, whatever the umask; SQLite gives its -wal and -shm the mode of the file itself."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.chmod(path + suffix, 0o600)


def _prepare_schema(db: sqlite3.Connection, path: str) -> None:
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if not empty:
        _check_file(db, path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    if empty:
        create(db, APPLICATION_ID)
    else:
        migrate(db, path)
    if db.execute("SELECT version FROM written_by").fetchone() != (nodrop.__version__,):
        db.execute("UPDATE written_by SET version = ?", (nodrop.__version__,))


def _check_file(db: sqlite3.Connection, path: str) -> None:
    """Raise StoreCorrupt unless this is a sound file of ours; nothing has been written to it."""
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise _corrupt(path, "it is a database of another program")
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreCorrupt(
            f"state file {path} was written by a newer nodrop (format {version}{_writer(db)}; this "
            f"one, {nodrop.__version__}, reads up to {SCHEMA_VERSION}): use that version of "
            "nodrop, or another state folder"
        )
    found: str = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise _corrupt(path, found)


def _writer(db: sqlite3.Connection) -> str:
    """Who has written a file of a later format, if it says so."""
    try:
        (version,) = db.execute("SELECT version FROM written_by").fetchone()
    except (sqlite3.Error, TypeError, ValueError):
        return ""
    return f", by nodrop {version}" if version else ""


def _corrupt(path: str, why: str) -> StoreCorrupt:
    reason = " ".join(why.split())
    return StoreCorrupt(
        f"state file {path} is damaged ({reason}): move it away and start again with an empty "
        f"state: mv {path} {path}.damaged"
    )


def at_revision(obj: Obj, revision: Revision) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}


def _decode(body: bytes) -> Obj:
    decoded: Obj = msgspec.json.decode(body)
    return decoded
