"""What is sent when: a seeded mix of requests at a constant rate. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

Method = Literal["GET", "POST"]


class NotLoopback(ValueError):
    """The load's target is not this machine."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the load goes: an address of this machine, a port, and the Host header."""

    address: str
    port: int
    host: str

    @property
    def family_is_ipv6(self) -> bool:
        return ":" in self.address


def target_of(url: str, host_header: str = "") -> Target:
    """Read ``http://127.0.0.1:8080``. Raises NotLoopback for anything but this machine.

    A load generator is a weapon when pointed elsewhere, so only literal loopback addresses (and
    the name localhost) are taken; no name is looked up.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise NotLoopback(f"the load's target {url!r} is not an http:// URL")
    name = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    try:
        loopback = ip_address(name).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise NotLoopback(
            f"the load's target {parts.hostname!r} is not this machine: only 127.0.0.0/8, ::1 "
            "and localhost are allowed"
        )
    port = parts.port or 80
    return Target(name, port, host_header or parts.netloc)


@dataclass(frozen=True, slots=True)
class Shot:
    """One planned request. ``body`` is what it sends and, where ``echoed``, must get back."""

    number: int
    method: Method
    path: str
    fresh: bool
    body: bytes = b""
    asked_s: float = 0.0
    echoed: bool = True


@dataclass(frozen=True, slots=True)
class Mix:
    """Which requests a load consists of; shares are fractions of 1.

    ``post_share`` of the requests post a body of ``post_bytes`` to ``echo_path``; ``slow_share``
    get ``slow_path`` with ``{s}`` replaced by ``slow_s``; the rest get ``get_paths`` in turn.
    ``echoed``: a POST is answered with its own body.
    """

    get_paths: tuple[str, ...] = ("/",)
    echo_path: str = "/echo"
    slow_path: str = "/slow?s={s}"
    post_share: float = 0.25
    post_bytes: int = 256
    slow_share: float = 0.02
    slow_s: float = 0.3
    echoed: bool = True
    fresh_share: float = 0.2
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("post_share", "slow_share", "fresh_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: must be from 0 to 1")
        if self.post_share + self.slow_share > 1:
            raise ValueError("post_share and slow_share together are more than 1")

    def shots(self) -> Iterator[Shot]:
        """The same endless sequence for the same seed."""
        chance = random.Random(self.seed)
        number = 0
        while True:
            yield self._shot(number, chance)
            number += 1

    def _shot(self, number: int, chance: random.Random) -> Shot:
        kind, fresh = chance.random(), chance.random() < self.fresh_share
        if kind < self.post_share:
            body = self._body(number, chance)
            return Shot(number, "POST", self.echo_path, fresh, body, echoed=self.echoed)
        if kind < self.post_share + self.slow_share:
            path = self.slow_path.replace("{s}", f"{self.slow_s:g}")
            return Shot(number, "GET", path, fresh, asked_s=self.slow_s)
        return Shot(number, "GET", self.get_paths[number % len(self.get_paths)], fresh)

    def _body(self, number: int, chance: random.Random) -> bytes:
        head = b"%d:" % number
        return head + chance.randbytes(max(0, self.post_bytes - len(head)))


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """One load: where, how fast, what, and its bounds (a load always ends)."""

    target: Target
    rate: float
    mix: Mix = field(default_factory=Mix)
    keep_alive_connections: int = 32
    timeout_s: float = 10.0
    longest_s: float = 3600.0
    most_requests: int = 2_000_000
    most_in_flight: int = 5_000
    version_header: str = "X-Version"
    pod_header: str = "X-Pod"
    id_header: str = "X-Request-Id"
    id_prefix: str = ""  # makes ids of several loads differ
    expect_id: bool = False  # the answer must carry our id
    seen_header: str = "X-Request-Seen"  # how often the app has processed this id
    app_header: str = ""  # there only where the app itself has answered

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"the rate is {self.rate}: must be above 0 requests a second")
