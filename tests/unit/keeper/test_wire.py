"""Framing between the keeper and its clients; ids; back-off; records on disk; the filter."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from nodrop.keeper import proc
from nodrop.keeper.failure import Failed
from nodrop.keeper.process import Process, checked_id
from nodrop.keeper.processes import backoff_s
from nodrop.keeper.records import Records
from nodrop.keeper.seccomp import bind_filter
from nodrop.keeper.wire import MAX_LINE_BYTES, Lines, LineTooLong, decode, encode


def test_half_lines_are_kept() -> None:
    lines = Lines()
    assert lines.feed(b'{"id"') == []
    assert lines.feed(b':1}\n{"id":2}\n{"i') == [b'{"id":1}', b'{"id":2}']
    assert lines.feed(b'd":3}\n') == [b'{"id":3}']


def test_an_endless_line_is_refused() -> None:
    lines = Lines()
    assert lines.feed(b"x" * MAX_LINE_BYTES) == []
    with pytest.raises(LineTooLong):
        lines.feed(b"x")


def test_messages_survive_the_wire() -> None:
    message = {"id": 1, "op": "start", "args": {"env": {"A": "ä\n"}}}
    encoded = encode(message)
    assert encoded.count(b"\n") == 1
    assert decode(encoded) == message
    with pytest.raises(ValueError, match="object"):
        decode(b"[1]")


@pytest.mark.parametrize("id", ["", ".hidden", "a/b", "a b", "x" * 201, None, 5])
def test_bad_ids_are_refused(id: object) -> None:
    with pytest.raises(Failed, match="no valid process id"):
        checked_id(id)


def test_container_ids_are_fine() -> None:
    assert checked_id("6ba7b810-9dad-11d1_app.web_0") == "6ba7b810-9dad-11d1_app.web_0"


def test_backoff_ends_at_a_second() -> None:
    delays = [backoff_s(ends) for ends in range(12)]
    assert delays[:4] == [0.0, 0.05, 0.1, 0.2]
    assert delays == sorted(delays)
    assert delays[-1] == 1.0


def _process() -> Process:
    spec = {"id": "a_1", "argv": ["prog"], "env": {"SECRET": "x"}, "cwd": "/", "labels": {"l": "1"}}
    process = Process(spec)
    process.notes["preStop"] = "done"
    process.sent(15)
    process.ends(143)
    return process


def test_records_come_back_without_environment(tmp_path: Path) -> None:
    records, process = Records(str(tmp_path)), _process()
    records.save(process.id, process.for_disk(), durable=True)
    (saved,) = records.load()
    assert "SECRET" not in str(saved)
    assert Process.from_disk(saved).view() == process.view()


def test_a_broken_record_hides_no_other(tmp_path: Path) -> None:
    records, process = Records(str(tmp_path)), _process()
    records.save(process.id, process.for_disk(), durable=False)
    (tmp_path / "broken.json").write_text('{"id": "bro')
    assert [record["id"] for record in records.load()] == ["a_1"]
    records.remove("a_1")
    records.remove("a_1")
    assert records.load() == []


def test_marks_differ() -> None:
    marks = {proc.new_mark() for _ in range(100)}
    assert len(marks) == 100
    assert all(0 < mark < 1 << 62 for mark in marks)


def _answer(program: bytes, arch: int, number: int) -> int:
    """Run the filter's BPF for a system call, as the kernel would."""
    operations = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = loaded = 0
    while True:
        code, if_true, if_false, value = map(int, operations[at])
        at += 1
        match code:
            case 0x20:
                loaded = {0: number, 4: arch}[value]
            case 0x15:
                at += if_true if loaded == value else if_false
            case 0x06:
                return value
            case _:
                raise AssertionError(f"unknown operation {code}")


@pytest.mark.parametrize(
    ("arch", "number", "notified"),
    [(7, 49, True), (7, 549, True), (7, 48, False), (7, 50, False), (8, 49, False)],
)
def test_the_filter_notifies_of_binds_only(arch: int, number: int, notified: bool) -> None:
    answer = _answer(bind_filter(7, (49, 549)), arch, number)
    assert answer == (0x7FC00000 if notified else 0x7FFF0000)
