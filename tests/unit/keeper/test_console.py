"""Who hears what a container says, and who is waited for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from nodrop.keeper import console as module
from nodrop.keeper.children import Child, Children
from nodrop.keeper.console import MOST_UNSENT_BYTES, Console
from nodrop.keeper.failure import Failed
from nodrop.keeper.loop import Loop
from nodrop.keeper.process import Process

PIPE_BYTES = 64 * 1024
CHUNK = b"x" * 65536


@dataclass
class FakeChildren:
    """Remembers whether output is read."""

    reads: bool = True

    def pause(self, child: Child) -> None:
        self.reads = False

    def listen(self, child: Child) -> None:
        self.reads = True


@dataclass
class Rig:
    """A console whose process is played by the test."""

    console: Console
    children: FakeChildren
    loop: Loop
    ends: list[int] = field(default_factory=list)

    def say(self, data: bytes, stream: int = 0) -> None:
        self.console.outputs[stream].sink(data)

    def client(self, *, stdin: bool = False) -> Listener:
        pipes = os.pipe(), os.pipe()
        self.ends += [read for read, _ in pipes]
        fds = {"stdout": pipes[0][1], "stderr": pipes[1][1]}
        over: list[str] = []
        leave = self.console.attach(fds, stdin=stdin, answer=over.append)
        return Listener(pipes[0][0], pipes[1][0], over, leave)

    def run(self, *, within_s: float = 0.01) -> None:
        """Let the loop do what is due."""
        self.loop.after(within_s, self.loop.stop)
        self.loop._running = True
        self.loop.run()


@dataclass
class Listener:
    out: int
    err: int
    over: list[str]
    leave: Callable[[], None]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def build(**fields: bool) -> Rig:
        spec: dict[str, Any] = {"id": "a", "argv": ["x"], "env": {}, "cwd": "/"}
        process = Process({**spec, "log": str(tmp_path / "log"), **fields})
        children, loop = FakeChildren(), Loop()
        console = Console(process, loop, cast(Children, children))
        console.started(cast(Child, object()))
        made.append(Rig(console, children, loop))
        return made[-1]

    yield build
    for rig in made:
        for output in rig.console.outputs:
            output.sink(b"")
            os.close(output.ours)
            os.close(output.theirs)
        rig.console.end()
        for fd in rig.ends:
            os.close(fd)


def taken(fd: int) -> bytes:
    """All that is there."""
    os.set_blocking(fd, False)
    found = b""
    try:
        while piece := os.read(fd, PIPE_BYTES):
            found += piece
    except BlockingIOError:
        pass
    return found


def test_everybody_hears_the_bytes_as_they_come_and_the_log_gets_lines(
    make: Callable[..., Rig], tmp_path: Path
) -> None:
    rig = make()
    one, two = rig.client(), rig.client()
    rig.say(b"half")
    rig.say(b"err", 1)
    assert [taken(fd) for fd in (one.out, one.err, two.out, two.err)] == [b"half", b"err"] * 2
    assert (tmp_path / "log").read_bytes() == b""
    rig.say(b" a line\n")
    assert (tmp_path / "log").read_bytes().endswith(b" stdout F half a line\n")


def test_a_container_without_input_waits_for_nobody(make: Callable[..., Rig]) -> None:
    """The one who takes nothing is left, with the reason; the others hear all."""
    rig = make()
    deaf, other = rig.client(), rig.client()
    heard = said = 0
    while not deaf.over:
        rig.say(CHUNK)
        said += len(CHUNK)
        heard += len(taken(other.out))
        assert rig.children.reads
        assert said <= MOST_UNSENT_BYTES + PIPE_BYTES + 2 * len(CHUNK)
    rig.run()
    assert heard + len(taken(other.out)) == said
    assert "fast enough" in deaf.over[0]
    assert not other.over
    assert len(taken(deaf.out)) == PIPE_BYTES  # and then its end
    assert os.read(deaf.out, 1) == b""


@pytest.mark.parametrize("fields", [{"stdin": True}, {"tty": True}])
def test_a_container_with_input_waits_until_the_client_has_caught_up(
    make: Callable[..., Rig], fields: dict[str, bool]
) -> None:
    rig = make(**fields)
    slow = rig.client()
    for _ in range(2):
        rig.say(CHUNK)
    assert not rig.children.reads
    assert len(taken(slow.out)) == PIPE_BYTES
    rig.run()
    assert rig.children.reads
    assert len(taken(slow.out)) == PIPE_BYTES
    assert not slow.over


def test_but_not_for_ever(make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    rig = make(stdin=True)
    deaf = rig.client()
    for _ in range(2):
        rig.say(CHUNK)
    assert not rig.children.reads
    rig.run(within_s=0.2)
    assert rig.children.reads
    assert "fast enough" in deaf.over[0]


def test_a_slow_client_gets_the_rest_after_the_end(make: Callable[..., Rig]) -> None:
    rig = make()
    slow = rig.client()
    for _ in range(3):
        rig.say(CHUNK)
    rig.console.end()
    heard = 0
    while not slow.over:
        heard += len(taken(slow.out))
        rig.run()
    heard += len(taken(slow.out))
    assert heard == 3 * len(CHUNK)
    assert slow.over == [""]


def test_a_client_that_hung_up_is_forgotten(make: Callable[..., Rig]) -> None:
    rig = make(stdin=True)
    gone, other = rig.client(), rig.client()
    os.close(gone.out)
    rig.ends.remove(gone.out)
    rig.say(b"hello")
    assert gone.over == [""]
    assert taken(other.out) == b"hello"


@pytest.mark.parametrize(
    ("fields", "typed", "open_after"),
    [
        ({"stdin": True, "stdin_once": True}, True, False),
        ({"stdin": True, "stdin_once": True}, False, True),  # who only listens ends nothing
        ({"stdin": True}, True, True),
        ({"stdin": True, "stdin_once": True, "tty": True}, True, True),
    ],
)
def test_stdin_once_is_over_with_its_first_client(
    make: Callable[..., Rig], fields: dict[str, bool], typed: bool, open_after: bool
) -> None:
    rig = make(**fields)
    client = rig.client(stdin=typed)
    assert rig.console.input >= 0
    client.leave()
    if open_after:
        assert rig.console.input >= 0
    else:
        with pytest.raises(Failed):
            _ = rig.console.input


def test_without_stdin_there_is_none(make: Callable[..., Rig]) -> None:
    with pytest.raises(Failed) as refused:
        _ = make().console.input
    assert refused.value.code == "ENXIO"
