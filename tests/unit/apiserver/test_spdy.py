"""The SPDY codec: what goes in comes out however it is cut; what is broken ends in SpdyError."""

from __future__ import annotations

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodrop.apiserver.spdy import (
    DICTIONARY,
    MAX_FRAME_BYTES,
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Open,
    Ping,
    Reply,
    Reset,
    SpdyError,
)

STREAMS = st.integers(1, 2**31 - 1)
WORDS = st.integers(0, 2**32 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
HEADERS = st.dictionaries(TEXT.map(str.lower).filter(lambda t: t == t.lower()), TEXT, max_size=5)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Open, STREAMS, HEADERS, st.booleans()),
    st.builds(Reply, STREAMS, HEADERS, st.booleans()),
    st.builds(Data, STREAMS, st.binary(max_size=300), st.booleans()),
    st.builds(Reset, STREAMS, WORDS),
    st.builds(Ping, WORDS),
    st.builds(GoAway, STREAMS, WORDS),
)


def test_the_dictionary_is_the_one_of_spdy_3() -> None:
    """Its checksum stands in the first bytes of every header block that kubectl sends."""
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@given(st.lists(FRAMES, max_size=8), st.integers(1, 50))
def test_frames_survive_the_way_however_they_are_cut(frames: list[Frame], size: int) -> None:
    encoder, decoder = Encoder(), Decoder()
    wire = b"".join(encoder.encode(frame) for frame in frames)
    found = [
        frame for at in range(0, len(wire), size) for frame in decoder.feed(wire[at : at + size])
    ]
    assert found == frames


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_an_error_or_unfinished(wire: bytes) -> None:
    with suppress(SpdyError):
        Decoder().feed(wire)


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_one_wrong_byte_never_ends_in_another_exception(
    frames: list[Frame], data: st.DataObject
) -> None:
    encoder = Encoder()
    wire = bytearray(b"".join(encoder.encode(frame) for frame in frames))
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(SpdyError):
        Decoder().feed(bytes(wire))


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        ("80020001 0000000a 00000001000000000000", "version 2"),
        ("80030001 00000004 00000001", "headers"),
        ("80030003 00000004 00000001", "RST_STREAM"),
        ("80030006 00000002 0001", "PING"),
        ("00000001 00ffffff", f"at most {MAX_FRAME_BYTES}"),
    ],
)
def test_broken_frames_are_told_apart(wire: str, why: str) -> None:
    with pytest.raises(SpdyError, match=why):
        Decoder().feed(bytes.fromhex(wire))


def test_headers_that_would_inflate_without_end_are_refused() -> None:
    bomb = Encoder().encode(Open(1, {"a": "x" * 500_000}))
    with pytest.raises(SpdyError, match="more than"):
        Decoder().feed(bomb)


def test_settings_and_window_updates_mean_nothing() -> None:
    settings = bytes.fromhex("80030004 0000000c 00000001 00000004 00000064")
    update = bytes.fromhex("80030009 00000008 00000001 00001000")
    assert Decoder().feed(settings + update + Encoder().encode(Ping(1))) == [Ping(1)]
