"""WebSocket frames: RFC 6455's own examples, any split, any length, and what is no frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodrop.rehearse.frames import (
    BadFrame,
    Frame,
    FrameReader,
    Opcode,
    accept_of,
    render_frame,
)

# RFC 6455, section 5.7
EXAMPLES = [
    ("810548656c6c6f", [Frame(Opcode.TEXT, b"Hello")]),
    ("818537fa213d7f9f4d5158", [Frame(Opcode.TEXT, b"Hello")]),
    ("010348656c80026c6f", [Frame(Opcode.TEXT, b"Hello")]),
    ("890548656c6c6f", [Frame(Opcode.PING, b"Hello")]),
    ("827e0100" + "00" * 256, [Frame(Opcode.BINARY, bytes(256))]),
    ("827f0000000000010000" + "00" * 65536, [Frame(Opcode.BINARY, bytes(65536))]),
    # a ping between the fragments of a message
    ("0103486c6c8900" + "8000", [Frame(Opcode.PING, b""), Frame(Opcode.TEXT, b"Hll")]),
]


@pytest.mark.parametrize(("raw", "frames"), EXAMPLES)
@pytest.mark.parametrize("step", [1, 3, 100_000])
def test_examples_of_the_rfc_in_any_split(raw: str, frames: list[Frame], step: int) -> None:
    data, reader = bytes.fromhex(raw), FrameReader()
    found = [f for at in range(0, len(data), step) for f in reader.feed(data[at : at + step])]
    assert found == frames
    assert not reader.in_middle


def test_the_accept_key_of_the_rfc() -> None:
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(
    payload=st.binary(max_size=70_000),
    mask=st.one_of(st.just(b""), st.binary(min_size=4, max_size=4)),
)
def test_what_is_rendered_is_read_back(payload: bytes, mask: bytes) -> None:
    raw = render_frame(Opcode.BINARY, payload, mask=mask)
    assert FrameReader().feed(raw) == [Frame(Opcode.BINARY, payload)]


@pytest.mark.parametrize(("raw", "code"), [("880203e9", 1001), ("8800", 1005)])
def test_close_codes(raw: str, code: int) -> None:
    (frame,) = FrameReader().feed(bytes.fromhex(raw))
    assert (frame.opcode, frame.close_code) == (Opcode.CLOSE, code)


@pytest.mark.parametrize(
    "raw",
    [
        "c10548656c6c6f",  # a reserved bit
        "830548656c6c6f",  # an opcode that does not exist
        "8000",  # goes on with nothing
        "01014181014100",  # a message within another
        "090141",  # a ping in parts
        "897e00ff" + "00" * 255,  # a ping that is too long
        "827f0000000100000000",  # 4 GiB
    ],
)
def test_what_is_no_frame(raw: str) -> None:
    with pytest.raises(BadFrame):
        FrameReader().feed(bytes.fromhex(raw))


def test_half_a_frame_is_told() -> None:
    reader = FrameReader()
    assert reader.feed(bytes.fromhex("81054865")) == []
    assert reader.in_middle
