"""What happens to the state file: durability, damage, versions, owners, compaction."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodrop.model.kinds import CONFIGMAP, SECRET
from nodrop.model.meta import Obj, ObjectKey, Revision
from nodrop.store.protocol import ABSENT, Expired, StoreCorrupt, StoreFailure, Write
from nodrop.store.sqlite import COMPACT_EVERY, SqliteStore


def key(name: str) -> ObjectKey:
    return ObjectKey(CONFIGMAP, "default", name)


def config(name: str, value: str = "") -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": value}}


def put(store: SqliteStore, name: str, value: str = "") -> Revision:
    held = store.get(key(name))
    expected = held.revision if held else ABSENT
    return store.commit(Write(key(name), config(name, value), expected)).revision


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodrop.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


def test_the_stored_object_is_nobodys_but_the_stores(store: SqliteStore) -> None:
    mine = config("a", "1")
    store.commit(Write(key("a"), mine, ABSENT))
    mine["data"]["v"] = "2"
    held = store.get(key("a"))
    assert held is not None
    assert held.obj["data"] == {"v": "1"}
    assert "resourceVersion" not in mine["metadata"]


def test_kinds_are_kept_apart(store: SqliteStore) -> None:
    put(store, "a")
    assert store.get(ObjectKey(SECRET, "default", "a")) is None
    assert store.list(SECRET) == []


def test_history_holds_the_end_of_an_object(store: SqliteStore) -> None:
    first = put(store, "a", "1")
    last = store.commit(Write(key("a"), config("a", "final"), first, delete=True))
    [change] = store.after(first)
    assert change == last
    assert (change.type, change.obj["data"]["v"], change.revision) == ("DELETED", "final", 2)
    assert change.obj["metadata"]["resourceVersion"] == "2"
    assert change.before is not None
    assert change.before["data"]["v"] == "1"


def test_revisions_go_on_after_everything_was_deleted_and_compacted(path: Path) -> None:
    store = SqliteStore(path)
    store.commit(Write(key("a"), config("a"), put(store, "a"), delete=True))
    store.compact(store.revision)
    store.close()
    again = SqliteStore(path)
    assert (again.revision, again.compacted) == (2, 2)
    assert put(again, "b") == 3
    again.close()


def test_compaction_runs_by_itself_and_keeps_the_newest(path: Path) -> None:
    store = SqliteStore(path, keep_revisions=50)
    for number in range(3 * COMPACT_EVERY):
        put(store, "a", str(number))
    assert 50 <= store.revision - store.compacted < 50 + COMPACT_EVERY
    assert len(store.after(store.compacted)) == store.revision - store.compacted
    with pytest.raises(Expired):
        store.after(Revision(store.compacted - 1))
    store.close()
    rows = sqlite3.connect(path)
    assert rows.execute("SELECT count(*) FROM log").fetchone()[0] <= 51 + COMPACT_EVERY
    rows.close()


_WRITER = """
import sys
from nodrop.model.kinds import CONFIGMAP
from nodrop.model.meta import ObjectKey
from nodrop.store.protocol import ABSENT, Write
from nodrop.store.sqlite import SqliteStore

store = SqliteStore(sys.argv[1])
number = 0
while True:
    number += 1
    name = f"c{number}"
    metadata = {"name": name, "namespace": "default"}
    store.commit(Write(ObjectKey(CONFIGMAP, "default", name), {"metadata": metadata}, ABSENT))
    print(number, flush=True)
"""


@pytest.mark.parametrize("kill_after", [1, 700])
def test_every_acknowledged_write_survives_kill_9(path: Path, kill_after: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= kill_after:
                break
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([int(line) for line in writer.stdout.read().split()] + [kill_after])
    store = SqliteStore(path)
    assert acknowledged <= store.revision <= acknowledged + 1
    names = {one.obj["metadata"]["name"] for one in store.list(CONFIGMAP)}
    assert names == {f"c{number}" for number in range(1, store.revision + 1)}
    store.close()


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, " * 500)


def _cut(path: Path) -> None:
    _filled(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _overwritten_page(path: Path) -> None:
    _filled(path)
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 4] = b"\xff" * 4096 * 2
    path.write_bytes(content)


def _lost_table(path: Path) -> None:
    _filled(path)
    _edit(path, "DROP TABLE compacted")


def _broken_json(path: Path) -> None:
    _filled(path)
    _edit(path, "UPDATE log SET body = '{' WHERE revision = 5")


def _unknown_kind(path: Path) -> None:
    _filled(path)
    _edit(path, "UPDATE log SET resource = 'teapots' WHERE revision = 5")


def _other_program(path: Path) -> None:
    _edit(path, "CREATE TABLE recipes (name TEXT)")


def _newer(path: Path) -> None:
    _filled(path)
    _edit(path, "PRAGMA user_version = 99")


def _filled(path: Path) -> None:
    store = SqliteStore(path)
    for number in range(100):
        put(store, f"c{number}", "x" * 500)
    store.close()


def _edit(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_garbage, "is damaged .*: mv "),
        (_cut, "is damaged .*: mv "),
        (_overwritten_page, "is damaged .*: mv "),
        (_lost_table, "is damaged .*: mv "),
        (_broken_json, "is damaged .*: mv "),
        (_unknown_kind, "teapots.*does not know: use the version of nodrop that wrote it"),
        (_other_program, "database of another program.*: mv "),
        (_newer, r"newer nodrop \(format 99.* use that version"),
    ],
)
def test_a_file_that_cannot_be_used_ends_in_one_clear_error(
    path: Path, damage: object, why: str
) -> None:
    assert callable(damage)
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match=why) as caught:
        SqliteStore(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_the_mend_works(path: Path) -> None:
    _garbage(path)
    with pytest.raises(StoreCorrupt):
        SqliteStore(path)
    path.rename(path.with_suffix(".damaged"))
    SqliteStore(path).close()


def test_a_log_left_behind_does_not_enter_a_new_file(path: Path, tmp_path: Path) -> None:
    busy = SqliteStore(path)
    put(busy, "a")
    log = path.with_name(path.name + "-wal")
    (tmp_path / "copy.db-wal").write_bytes(log.read_bytes())
    busy.close()
    fresh = SqliteStore(tmp_path / "copy.db")
    assert (fresh.revision, fresh.list(CONFIGMAP)) == (0, [])
    fresh.close()


def test_a_file_has_one_owner(path: Path, store: SqliteStore) -> None:
    put(store, "a")
    with pytest.raises(StoreFailure, match=r"in use by another engine.*") as caught:
        SqliteStore(path)
    assert not isinstance(caught.value, StoreCorrupt)
    assert put(store, "b") == 2


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreFailure, match=r"none/nodrop\.db"):
        SqliteStore(tmp_path / "none" / "nodrop.db")


def test_a_failed_write_changes_nothing(path: Path) -> None:
    store = SqliteStore(path)
    put(store, "a", "1")
    store.close()  # stands for any failure of the disk
    with pytest.raises(StoreFailure, match=r"nodrop\.db"):
        put(store, "a", "2")
    held = store.get(key("a"))
    assert held is not None
    assert (held.obj["data"]["v"], store.revision) == ("1", 1)
