"""The load as a process of its own, so that nothing the caller does disturbs its timing."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from nodrop.rehearse.load import Load
from nodrop.rehearse.record import Record, decode_batch, encode_batch
from nodrop.rehearse.schedule import LoadSpec, Mix, target_of

_FLUSH_S = 0.05
_LONGEST_LINE_BYTES = 16 * 1024 * 1024


class LoadFailed(Exception):
    """The load process ended in an error of its own; its records can't be trusted."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Collects records and writes them as lines: one a flush, not one a request."""

    pending: list[Record]

    def flush(self) -> None:
        """Write what has come. Raises BrokenPipeError when nobody reads any more."""
        if self.pending:
            sys.stdout.buffer.write(encode_batch(self.pending))
            sys.stdout.buffer.flush()
            self.pending.clear()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.flush()


class LoadProcess:
    """``python -m nodrop.rehearse.process`` started, read and ended.

    The process ends by itself when its standard input closes, so it can't outlive its owner.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @staticmethod
    async def start(arguments: Sequence[str]) -> LoadProcess:
        """Start with command-line ``arguments``, e.g. from ``arguments_for``."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "nodrop.rehearse.process",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE_BYTES,
            start_new_session=True,  # a Ctrl-C at the terminal is its owner's to handle
        )
        return LoadProcess(process)

    async def batches(self) -> AsyncIterator[list[Record]]:
        """Records as they come, until the load has ended. Raises LoadFailed."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        while line := await self._process.stdout.readline():
            yield decode_batch(line)
        errors = (await self._process.stderr.read()).decode(errors="replace").strip()
        if code := await self._process.wait():
            last = errors.splitlines()[-1] if errors else "it said nothing"
            raise LoadFailed(f"the load process ended with exit code {code}: {last}")

    def stop(self) -> None:
        """Send nothing more; ``batches`` ends once everything in flight has ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def kill(self) -> None:
        """End at once. Does nothing when it has ended."""
        self.stop()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()


def arguments_for(url: str, *, rate: float) -> list[str]:
    """The command line of the usual load."""
    return ["--url", url, "--rate", f"{rate:g}"]


def parse(arguments: Sequence[str]) -> tuple[LoadSpec, float | None, int | None]:
    """The spec, duration and count on a command line. Ends the process on a usage error."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        mix = Mix(
            get_paths=tuple(given.get or ["/"]),
            echo_path=given.echo_path,
            slow_path=given.slow_path,
            post_share=given.post_share,
            slow_share=given.slow_share,
            slow_s=given.slow_s,
            echoed=not given.no_echo,
            fresh_share=given.fresh_share,
            seed=given.seed,
        )
        spec = LoadSpec(
            target_of(given.url, given.host),
            given.rate,
            mix,
            keep_alive_connections=given.keep_alive_connections,
            timeout_s=given.timeout_s,
            version_header=given.version_header,
            pod_header=given.pod_header,
            expect_id=given.expect_id,
            id_header=given.id_header,
            id_prefix=given.id_prefix,
            app_header=given.app_header,
        )
    except ValueError as error:
        parser.error(str(error))
    return spec, given.duration_s, given.count


def main(arguments: Sequence[str] | None = None) -> None:
    """Send the load and print its records as JSON lines, each an array of records."""
    spec, duration_s, count = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        asyncio.run(_run(spec, duration_s, count))
    except* BrokenPipeError:  # the reader has gone; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# Private


async def _run(spec: LoadSpec, duration_s: float | None, count: int | None) -> None:
    batches = Batches([])
    load = Load(spec, batches.pending.append)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.stop)
    async with asyncio.TaskGroup() as group:
        helpers = [group.create_task(batches.run()), group.create_task(_stop_with_stdin(load))]
        await load.run(duration_s, count=count)
        for task in helpers:
            task.cancel()
    batches.flush()


async def _stop_with_stdin(load: Load) -> None:
    """Stop once standard input closes, where that is a pipe: its owner has gone or wants an end.

    A terminal, a file or /dev/null is no owner; the load then ends by duration, count or signal.
    """
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()
    load.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nodrop.rehearse.process", description=main.__doc__
    )
    parser.add_argument("--url", required=True, help="http://127.0.0.1:PORT; this machine only")
    parser.add_argument("--host", default="", help="Host header (default: the URL's)")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--duration-s", type=float, help="end after so long (default: stdin's end)")
    parser.add_argument("--count", type=int, help="end after so many requests")
    parser.add_argument("--get", action="append", metavar="PATH", help="a path to GET (repeatable)")
    parser.add_argument("--echo-path", default="/echo", help="answers a POST with its body")
    parser.add_argument("--slow-path", default="/slow?s={s}", help="{s} becomes seconds")
    parser.add_argument("--post-share", type=float, default=0.25)
    parser.add_argument("--slow-share", type=float, default=0.02)
    parser.add_argument("--slow-s", type=float, default=0.3)
    parser.add_argument("--fresh-share", type=float, default=0.2, help="share of new connections")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep-alive-connections", type=int, default=32)
    parser.add_argument("--timeout-s", type=float, default=10.0)
    parser.add_argument("--version-header", default="X-Version")
    parser.add_argument("--pod-header", default="X-Pod")
    parser.add_argument("--no-echo", action="store_true", help="POSTs get any answer")
    parser.add_argument("--id-header", default="X-Request-Id")
    parser.add_argument("--id-prefix", default="", help="begins every request's id")
    parser.add_argument("--app-header", default="", help="only on answers of the app itself")
    parser.add_argument("--expect-id", action="store_true", help="answers must echo X-Request-Id")
    parser.add_argument("--json-lines", action="store_true", help="the only output; for clarity")
    return parser


if __name__ == "__main__":
    main()
