from datetime import datetime, timezone

import pytest

from nodrop.apiserver.loglines import Formatter, stored_time, tail_offset

STORED = (
    b"2026-11-23T10:00:00.000000001Z stdout F one\n"
    b"2026-11-23T10:00:01.5Z stderr P tw\n"
    b"2026-11-23T10:00:01.6Z stderr F o\n"
    b"2026-11-23T10:00:02Z stdout F \n"
)


def formatter(*, timestamps: bool = False, since: datetime | None = None) -> Formatter:
    return Formatter(timestamps=timestamps, since=since)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_lines_come_out_whole_however_they_are_read(size: int) -> None:
    lines = formatter()
    chunks = [STORED[at : at + size] for at in range(0, len(STORED), size)]
    assert b"".join(lines.feed(chunk) for chunk in chunks) == b"one\ntwo\n\n"


def test_a_timestamp_stands_before_each_line_once() -> None:
    shown = formatter(timestamps=True).feed(STORED).splitlines()
    assert shown[1] == b"2026-11-23T10:00:01.5Z two"


def test_lines_before_since_are_left_out() -> None:
    since = datetime(2026, 11, 23, 10, 0, 1, 550_000, tzinfo=timezone.utc)
    assert formatter(since=since).feed(STORED) == b"o\n\n"


def test_one_stream_alone() -> None:
    assert Formatter(timestamps=False, since=None, stream="stderr").feed(STORED) == b"two\n"
    assert Formatter(timestamps=False, since=None, stream="stdout").feed(STORED) == b"one\n\n"


def test_stored_times_have_nine_digits_or_none() -> None:
    assert stored_time(b"2026-11-23T10:00:00.123456789Z").microsecond == 123456
    assert stored_time(b"2026-11-23T10:00:00Z").microsecond == 0
    assert stored_time(b"2026-11-23T10:00:00.5Z").microsecond == 500_000


@pytest.mark.parametrize(
    ("block", "lines", "expected"),
    [
        (b"a\nb\nc\n", 0, (6, 0)),
        (b"a\nb\nc\n", 1, (4, 1)),
        (b"a\nb\nc\n", 2, (2, 2)),
        (b"a\nb\nc\n", 3, (0, 3)),
        (b"a\nb\nc\n", 9, (0, 3)),
        (b"a\nb\nc", 1, (4, 1)),
        (b"", 3, (0, 0)),
    ],
)
def test_where_the_last_lines_start(block: bytes, lines: int, expected: tuple[int, int]) -> None:
    assert tail_offset(block, lines) == expected
