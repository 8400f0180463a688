"""What is read from a report of wrk."""

import pytest

from bench.engine import BenchFailed
from bench.wrk import parse_wrk

REPORT = """Running 2s test @ http://127.0.0.1:40213/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.21ms    1.02ms  20.10ms   91.07%
    Req/Sec    27.91k     2.31k   33.05k    70.00%
  Latency Distribution
     50%    0.98ms
     75%    1.40ms
     90%    2.05ms
     99%    {p99}
  55566 requests in 2.00s, 5.30MB read
Requests/sec:  27783.00
Transfer/sec:      2.65MB
"""


@pytest.mark.parametrize(
    ("p99", "milliseconds"),
    [("870.00us", 0.87), ("5.72ms", 5.72), ("1.20s", 1200), ("1.00m", 60_000)],
)
def test_rate_requests_and_p99_are_read_in_every_unit(p99: str, milliseconds: float) -> None:
    found = parse_wrk(REPORT.replace("{p99}", p99))
    assert (found.rate, found.requests) == (27783, 55566)
    assert found.p99_ms == pytest.approx(milliseconds)


def test_cpu_is_counted_a_request() -> None:
    found = parse_wrk(REPORT.replace("{p99}", "5.72ms")).with_cpu(1.11132)
    assert found.cpu_us == pytest.approx(20)


@pytest.mark.parametrize(
    "line",
    ["  Non-2xx or 3xx responses: 12", "  Socket errors: connect 0, read 3, write 0, timeout 0"],
)
def test_a_run_with_errors_is_no_measurement(line: str) -> None:
    with pytest.raises(BenchFailed, match=line.strip()):
        parse_wrk(REPORT.replace("{p99}", "5.72ms") + line + "\n")


def test_a_report_that_is_not_understood_is_shown() -> None:
    with pytest.raises(BenchFailed, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:1\n")
