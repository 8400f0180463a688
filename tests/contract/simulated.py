"""The simulator's fakes as the contract suites want them: behaving as the suites' scripts say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from nodrop.agent.runtime.protocol import ContainerSpec, ExecResult, RuntimeFailure
from nodrop.clock import SystemClock
from nodrop.proxy.protocol import RoutingTable
from nodrop.sim.behaviour import Behaviour
from nodrop.sim.data_plane import SimProxy
from nodrop.sim.runtime import App, SimRuntime


class Nobody:
    """Watches, and keeps nothing but the log files that a real program would write."""

    def on_start(self, app: App) -> None:
        log = Path(app.spec.log_path)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("up\n")

    def on_signal(self, app: App, signal: int) -> None: ...

    def on_exit(self, app: App, why: str) -> None: ...

    def on_hook(self, app: App, command: Sequence[str], *, begins: bool) -> None: ...

    def on_asked(self, table: RoutingTable) -> None: ...

    def on_serving(self, before: RoutingTable, table: RoutingTable) -> None: ...


def simulated_runtime() -> SimRuntime:
    return SimRuntime(
        SystemClock(),
        behave=_behave,
        watcher=Nobody(),
        rng=random.Random(1),
        command=_command,
    )


def simulated_proxy() -> SimProxy:
    return SimProxy(Nobody(), latency_s=lambda: 0.002)


def _behave(spec: ContainerSpec) -> Behaviour:
    script = spec.argv[-1]
    if spec.argv[0] == "no-such-program":
        return Behaviour(refusal="no-such-program: not found")
    if script.endswith("exit 3"):
        return Behaviour(crash_after_s=0.2, crash_code=3)
    return Behaviour(start_s=0.0, on_term="ignore" if "trap ''" in script else "die")


def _command(app: App, words: Sequence[str]) -> tuple[float, ExecResult]:
    if words[0] == "no-such-program":
        raise RuntimeFailure("no-such-program: not found")
    if words[0] == "sleep":
        return float(words[1]), ExecResult(0, b"")
    return 0.0, ExecResult(5, f"{app.spec.env['COLOUR']}\n".encode())
