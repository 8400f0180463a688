"""Answers are read right from any split of their bytes, and nothing else passes for one."""

from __future__ import annotations

import pytest

from nodrop.rehearse.http1 import Malformed, ResponseReader, render_request

ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Pod: p-1\r\n\r\nabc", b"abc", True),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nX-Pod: p-1\r\n\r\n", b"", True),
    "close": (
        b"HTTP/1.1 200 OK\r\nConnection: Close\r\nx-pod: p-1\r\nContent-Length: 1\r\n\r\na",
        b"a",
        False,
    ),
    "1.0": (b"HTTP/1.0 200 OK\r\nX-Pod:p-1\r\nContent-Length: 1\r\n\r\na", b"a", False),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Pod: p-1\r\n\r\n"
        b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"abc0123456789",
        True,
    ),
    "trailer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Pod: p-1\r\n\r\n"
        b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"a",
        True,
    ),
    "interim": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-Pod: p-1\r\nContent-Length: 1\r\n\r\na",
        b"a",
        True,
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 10_000])
def test_answers_in_any_split(name: str, step: int) -> None:
    raw, body, reusable = ANSWERS[name]
    reader = ResponseReader()
    pieces = [raw[at : at + step] for at in range(0, len(raw), step)]
    for piece in pieces[:-1]:
        assert reader.feed(piece) is None
    response = reader.feed(pieces[-1])
    assert response is not None
    assert (response.status, response.body, response.reusable) == (200, body, reusable)
    assert response.header("X-Pod") == "p-1"
    assert response.header("X-Absent") == ""


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_cut_anywhere_is_not_complete(name: str) -> None:
    raw, _, _ = ANSWERS[name]
    for end in range(len(raw)):
        reader = ResponseReader()
        assert reader.feed(raw[:end]) is None if end else True
        assert reader.eof() is None
        assert reader.started == (end > 0) or name == "interim"


def test_the_connections_end_is_the_bodys_end_without_a_length() -> None:
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nab") is None
    response = reader.eof()
    assert response is not None
    assert (response.body, response.reusable) == (b"ab", False)


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    response = ResponseReader().feed(b"HTTP/1.1 %d None\r\n\r\n" % status)
    assert response is not None
    assert response.status == status


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_not_an_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        ResponseReader().feed(raw)


def test_requests() -> None:
    assert render_request("GET", "/a?b", host="h", request_id="7") == (
        b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-Request-Id: 7\r\n\r\n"
    )
    posted = render_request("POST", "/", host="h", request_id="7", body=b"xyz", close=True)
    assert posted.endswith(b"Content-Length: 3\r\nConnection: close\r\n\r\nxyz")
