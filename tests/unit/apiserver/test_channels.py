"""Channel messages of exec and attach."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodrop.apiserver.channels import (
    COMMAND_PROTOCOLS,
    V1,
    V1_BASE64,
    V4,
    V4_BASE64,
    V5,
    ChannelError,
    Channels,
)
from nodrop.apiserver.remotecommand import ClientEvent, EndOfInput, Input, Resize, exit_status


@pytest.mark.parametrize("protocol", COMMAND_PROTOCOLS)
@given(data=st.binary())
def test_a_message_is_split_as_it_was_put_together(protocol: str, data: bytes) -> None:
    channels = Channels(protocol)
    assert channels.split(channels.message(3, data)) == (3, data)


@pytest.mark.parametrize(
    ("protocol", "message", "event"),
    [
        (V5, b"\x00ls", Input(b"ls")),
        (V5, b"\x00", None),
        (V5, b"\xff\x00", EndOfInput()),
        (V4, b'\x04{"Width":80,"Height":24}', Resize(80, 24)),
        (V4_BASE64, b"0bHM=", Input(b"ls")),
        (V1, b"\x00ls", Input(b"ls")),
        (V1_BASE64, b"0bHM=", Input(b"ls")),
    ],
)
def test_messages_mean(protocol: str, message: bytes, event: ClientEvent | None) -> None:
    assert Channels(protocol).event(message) == event


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (V5, b""),
        (V1, b"\xff\x00"),
        (V4, b"\xff\x00"),  # close signals came with v5
        (V5, b"\xff\x01"),
        (V5, b"\x01out"),
        (V5, b"\x04{}"),
        (V5, b"\x04[1]"),
        (V5, b'\x04{"Width":70000,"Height":1}'),
        (V4_BASE64, b"x"),
        (V4_BASE64, b"0*"),
    ],
)
def test_what_no_client_may_send_is_refused(protocol: str, message: bytes) -> None:
    with pytest.raises(ChannelError):
        Channels(protocol).event(message)


def test_how_a_command_ended_is_told_in_words_before_v4() -> None:
    done, failed = exit_status(0), exit_status(7)
    assert Channels(V1).status(done) is None
    said = b"command terminated with non-zero exit code: exit status 7"
    assert Channels(V1).status(failed) == b"\x03" + said
    assert Channels(V1_BASE64).status(failed) == b"3" + base64.b64encode(said)
    assert Channels(V4).status(done) == b'\x03{"metadata":{},"status":"Success"}'


@given(st.binary(max_size=60), st.sampled_from([V5, V4, V4_BASE64]))
def test_any_message_is_an_event_nothing_or_refused(message: bytes, protocol: str) -> None:
    with suppress(ChannelError):
        Channels(protocol).event(message)


def test_exit_codes_stand_where_clients_look() -> None:
    assert exit_status(0)["status"] == "Success"
    status = exit_status(7)
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
