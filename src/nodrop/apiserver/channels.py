"""Messages of the ``channel.k8s.io`` WebSocket protocols: a channel number, then bytes; pure."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from nodrop.apiserver.remotecommand import ClientEvent, EndOfInput, Input, Resize
from nodrop.apiserver.rendering import encode
from nodrop.apiserver.streams import OutputStream
from nodrop.model.meta import Obj

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
#: From before v4: as that, but what went wrong comes as words, and success as nothing. A client
#: that names no protocol speaks the first of them.
V1, V1_BASE64 = "channel.k8s.io", "base64.channel.k8s.io"
#: In our order of preference: only in v5 can a client say that its input has ended.
COMMAND_PROTOCOLS = (V5, V4, V4_BASE64, V1, V1_BASE64)

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_OUTPUT = {"stdout": STDOUT, "stderr": STDERR}
_MOST_CELLS = 0xFFFF


class ChannelError(Exception):
    """A message that breaks the protocol; says how."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Encodes and decodes the messages of one protocol."""

    protocol: str

    @property
    def text(self) -> bool:
        """Whether messages are WebSocket text (base64) messages."""
        return self.protocol in (V4_BASE64, V1_BASE64)

    def message(self, channel: int, data: bytes) -> bytes:
        """A message to the client; text protocols have the number as a digit."""
        if self.text:
            return b"%d" % channel + base64.b64encode(data)
        return bytes((channel,)) + data

    def output(self, stream: OutputStream, data: bytes) -> bytes:
        return self.message(_OUTPUT[stream], data)

    def status(self, status: Obj) -> bytes | None:
        """How a command ended; None when there is nothing to say."""
        if self.protocol not in (V1, V1_BASE64):
            return self.message(ERROR, encode(status))
        said = str(status.get("message", ""))
        return None if status.get("status") == "Success" else self.message(ERROR, said.encode())

    def split(self, message: bytes) -> tuple[int, bytes]:
        """Channel and bytes of a client's message. Raises ChannelError."""
        if not message:
            raise ChannelError("a message without a channel number")
        if not self.text:
            return message[0], message[1:]
        try:
            return int(message[:1]), base64.b64decode(message[1:], validate=True)
        except (ValueError, binascii.Error):
            raise ChannelError("a text message is a digit and base64") from None

    def event(self, message: bytes) -> ClientEvent | None:
        """What a message of a client of exec or attach means; None for nothing."""
        channel, data = self.split(message)
        match channel:
            case 0:
                return Input(data) if data else None
            case 4:
                return resize(data)
            case 255 if self.protocol == V5:
                if data != bytes((STDIN,)):
                    raise ChannelError(f"only channel {STDIN} can be closed by a client")
                return EndOfInput()
        raise ChannelError(f"channel {channel} takes nothing from a client")


def resize(data: bytes) -> Resize:
    """``{"Width": columns, "Height": rows}``. Raises ChannelError."""
    try:
        size = json.loads(data)
        columns, rows = int(size["Width"]), int(size["Height"])
    except (ValueError, TypeError, KeyError):
        raise ChannelError('a new size is {"Width": columns, "Height": rows}') from None
    if not (0 <= columns <= _MOST_CELLS and 0 <= rows <= _MOST_CELLS):
        raise ChannelError(f"a terminal of {columns} x {rows} characters")
    return Resize(columns, rows)
