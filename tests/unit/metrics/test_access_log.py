"""The access log: its lines, its bounded size, and that it never gets in the way."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from nodrop.metrics.access_log import KEPT_FILES, AccessLog, Entry, entry_of
from nodrop.metrics.directory import PodName
from nodrop.proxy.haproxy.log import parse_line
from nodrop.proxy.protocol import ServicePort

ROOT = Path(__file__).parents[3]
LINE = (
    "w s3 u1_127.9.0.1_80 503 112 1795636344 041 127.0.0.1 46240 95 1234 1 0 2 100 9 +2 SC GET"
    ' /a"b shop.example'
)
POD = PodName("u1", "default", "web-1", "web", "7", "abc")


def entry() -> Entry:
    line = parse_line(LINE)
    assert line is not None
    found = entry_of(line, ServicePort("default", "web", 80), POD)
    assert found is not None
    return found


def test_a_line_tells_time_request_pod_and_version() -> None:
    found = json.loads(msgspec.json.encode(entry()))
    assert found["time"] == "2026-11-25T19:52:24.041Z"
    assert (found["method"], found["host"], found["path"]) == ("GET", "shop.example", '/a"b')
    assert (found["service"], found["pod"], found["version"]) == ("web", "web-1", "7")
    assert (found["code"], found["retries"], found["redispatched"]) == (503, 2, True)
    assert (found["duration_ms"], found["termination"]) == (112, "SC")


def test_a_line_of_the_sample_is_no_entry() -> None:
    line = parse_line("s s3 u1_127.9.0.1_80 200 12")
    assert line is not None
    assert entry_of(line, None, None) is None


def test_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log", largest_bytes=2_000)
    for _ in range(50):
        log.write([entry()])
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["access.log", *(f"access.log.{n}" for n in range(1, KEPT_FILES + 1))]
    for path in tmp_path.iterdir():
        assert path.stat().st_size <= 2_000
        assert path.stat().st_mode & 0o777 == 0o600
        for text in path.read_text().splitlines():
            json.loads(text)
    assert (log.written, log.dropped) == (50, 0)


def test_it_goes_on_where_an_earlier_engine_stopped(tmp_path: Path) -> None:
    for _ in range(2):
        log = AccessLog(tmp_path / "access.log")
        log.write([entry(), entry()])
        log.close()
    assert len((tmp_path / "access.log").read_text().splitlines()) == 4


def test_what_can_not_be_written_is_counted(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "missing" / "access.log")
    log.write([entry(), entry()])
    assert (log.written, log.dropped) == (0, 2)
    (tmp_path / "missing").mkdir()
    log.write([entry()])
    log.close()
    assert (log.written, log.dropped) == (1, 2)


def test_every_field_is_documented() -> None:
    page = (ROOT / "docs/reference/access-log.md").read_text(encoding="utf-8")
    for name in Entry.__struct_fields__:
        assert f"| `{name}` |" in page, name
