"""What stands at the end of a log becomes a termination message."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodrop.agent.folders import DiskFolders, last_words

AT = b"2026-11-23T10:00:00.000000000Z"


def line(text: str, tag: str = "F", stream: str = "stderr") -> bytes:
    return b"%b %b %b %b\n" % (AT, stream.encode(), tag.encode(), text.encode())


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (b"", ""),
        (line("oh") + line("no", stream="stdout"), "oh\nno\n"),
        (line("a long ", "P") + line("line"), "a long line\n"),
        (line(""), "\n"),
        (b"".join(line(str(n)) for n in range(200)), "".join(f"{n}\n" for n in range(120, 200))),
        (line("x" * 3000), "x" * 2047 + "\n"),
    ],
)
def test_last_words_are_80_lines_and_2048_bytes(log: bytes, words: str) -> None:
    assert last_words(log) == words


def test_they_come_from_the_log_of_the_run(tmp_path: Path) -> None:
    folders = DiskFolders(tmp_path / "pods")
    Path(folders.log_path("u", "app", 1)).write_bytes(b"broken" * 10_000 + b"\n" + line("bye"))
    assert folders.last_words("u", "app", 1).endswith("bye\n")
    assert folders.last_words("u", "app", 0) == ""
