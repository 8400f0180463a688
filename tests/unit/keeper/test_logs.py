"""Log lines in the CRI format, and rotation."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from nodrop.keeper.logs import MAX_TEXT_BYTES, LogFile, Stream, stamp
from nodrop.keeper.loop import complain

_NOW_NS = 1_795_428_000_123_456_789
_HEAD = b"2026-11-23T10:00:00.123456789Z stdout"


def test_stamp_has_nanoseconds() -> None:
    assert stamp(_NOW_NS) == b"2026-11-23T10:00:00.123456789Z"
    assert stamp(1_795_428_000_000_000_001) == b"2026-11-23T10:00:00.000000001Z"


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"one\n"], [b"F one"]),
        ([b"one\ntwo\n"], [b"F one", b"F two"]),
        ([b"o", b"ne\nt", b"wo\n"], [b"F one", b"F two"]),
        ([b"\n\n"], [b"F ", b"F "]),
        ([b"no newline"], [b"F no newline"]),
        ([b"\xff\xfe\n"], [b"F \xff\xfe"]),
        ([b"x" * MAX_TEXT_BYTES + b"\n"], [b"F " + b"x" * MAX_TEXT_BYTES]),
        ([b"x" * (MAX_TEXT_BYTES + 2) + b"\n"], [b"P " + b"x" * MAX_TEXT_BYTES, b"F xx"]),
        (
            [b"x" * MAX_TEXT_BYTES, b"y" * MAX_TEXT_BYTES, b"z\n"],
            [b"P " + b"x" * MAX_TEXT_BYTES, b"P " + b"y" * MAX_TEXT_BYTES, b"F z"],
        ),
    ],
)
def test_lines(pieces: list[bytes], lines: list[bytes]) -> None:
    stream = Stream("stdout")
    out = b"".join(stream.feed(piece, _NOW_NS) for piece in pieces) + stream.end(_NOW_NS)
    assert out == b"".join(_HEAD + b" " + line + b"\n" for line in lines)


def test_a_full_file_moves_on_and_five_are_kept(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "logs" / "0.log"), rotate_bytes=10)
    for number in range(9):
        file.write(b"line %d...\n" % number)
    file.close()
    found = {path.name: path.read_bytes() for path in (tmp_path / "logs").iterdir()}
    assert found == {
        "0.log": b"line 8...\n",
        "0.log.1": b"line 7...\n",
        "0.log.2": b"line 6...\n",
        "0.log.3": b"line 5...\n",
        "0.log.4": b"line 4...\n",
    }


def test_a_file_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    for text in (b"before\n", b"after\n"):
        file = LogFile(str(path))
        file.write(text)
        file.close()
    assert path.read_bytes() == b"before\nafter\n"


def test_a_rotation_that_fails_writes_into_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor is left for the new file: the old one is kept, and no number is reused."""
    path = tmp_path / "0.log"
    file = LogFile(str(path), rotate_bytes=10)
    file.write(b"line 0...\n")

    def refuse(*_arguments: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        file.write(b"lost\n")
        file.write(b"lost\n")
    with (tmp_path / "stranger").open("wb") as stranger:  # the next number that is free
        file.write(b"line 1...\n")
        stranger.flush()
        file.close()
        file.close()
        stranger.write(b"mine")
    assert (tmp_path / "stranger").read_bytes() == b"mine"
    assert path.read_bytes() == b"line 1...\n"
    assert (tmp_path / "0.log.1").read_bytes() == b"line 0...\n"


def test_a_complaint_that_cannot_be_written_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        complain("the disk is full")
        monkeypatch.undo()
        with pytest.raises(OSError):
            full.close()
