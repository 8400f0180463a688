"""The proxy's log: what is asked of HAProxy, how lines and frames are read."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodrop.proxy.haproxy.log import (
    Line,
    Request,
    dropped_in,
    parse_line,
    render_logging,
    render_ring,
)
from nodrop.proxy.haproxy.log_socket import Frames

#: On a machine that is busy with something else nothing is wrong with being slow.
ANY_PACE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
WHOLE = (
    "w s3 u1_127.9.0.1_80 200 112 1795636344 041 127.0.0.1 46240 95 1234 1 0 2 100 9 +2 -- GET"
    " /a%20b shop.example"
)


def test_a_sample_line_is_short() -> None:
    assert parse_line("s s3 u1_127.9.0.1_80 200 12") == Line("s3", "u1_127.9.0.1_80", 200, 12)


def test_a_whole_line_tells_everything() -> None:
    request = Request(
        started_s=1795636344.041,
        client="127.0.0.1:46240",
        method="GET",
        host="shop.example",
        path="/a%20b",
        bytes_in=95,
        bytes_out=1234,
        receive_ms=1,
        queue_ms=0,
        connect_ms=2,
        response_ms=100,
        transfer_ms=9,
        retries=2,
        redispatched=True,
        termination="--",
    )
    assert parse_line(WHOLE) == Line("s3", "u1_127.9.0.1_80", 200, 112, request)


def test_a_host_may_hold_spaces_or_be_missing_and_ipv6_clients_get_brackets() -> None:
    odd = parse_line(WHOLE.replace("shop.example", "a b c").replace("127.0.0.1", "::1"))
    assert odd is not None
    assert odd.request is not None
    assert (odd.request.host, odd.request.client) == ("a b c", "[::1]:46240")
    none = parse_line(WHOLE.replace("shop.example", "-"))
    assert none is not None
    assert none.request is not None
    assert none.request.host == ""


@pytest.mark.parametrize(
    "text", ["", "s", "s s3 u1 200", "s s3 u1 x 12", "w s3", "x s3 u1 200 12", "s s3 u1 200 12 9"]
)
def test_what_is_no_line_of_ours_is_passed_over(text: str) -> None:
    assert parse_line(text) is None


@ANY_PACE
@given(st.text())
def test_nothing_that_arrives_raises(text: str) -> None:
    assert parse_line(text) is None or text[0] in "sw"
    assert dropped_in(text) >= 0


def test_dropped_lines_are_told_by_haproxy_itself() -> None:
    assert dropped_in("17 event(s) dropped") == 17
    assert dropped_in("s s3 u1 200 12") == 0


@ANY_PACE
@given(st.lists(st.text(min_size=1).filter(lambda t: not t.endswith("\n"))), st.data())
def test_frames_are_found_however_the_stream_is_cut(texts: list[str], data: st.DataObject) -> None:
    texts = [text.encode(errors="replace").decode() for text in texts]
    stream = b"".join(b"%d %s" % (len(t.encode()), t.encode()) for t in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    frames, found, at = Frames(), list[str](), 0
    for cut in (*cuts, len(stream)):
        found += frames.feed(stream[at:cut])
        at = cut
    assert found == texts


def test_a_stream_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="no length"):
        Frames().feed(b"GET/HTTP/1.1")


def test_by_default_most_requests_are_silent_before_a_line_is_built() -> None:
    sample, whole = render_logging(whole=False), render_logging(whole=True)
    assert any("silent unless { rand(32) eq 0 }" in line for line in sample)
    assert not any("silent" in line for line in whole)
    assert any("%HPO" in line for line in whole)
    assert not any("%H" in line for line in sample), "capturing the request costs CPU"
    assert render_ring("/run/l.sock")[-1].endswith("unix@/run/l.sock log-proto octet-count")
