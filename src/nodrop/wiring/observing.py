"""Puts metrics beside the parts of an engine: who is watched, and where it can be read."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, disable_created_metrics

from nodrop.keeper.protocol import Keeper
from nodrop.metrics.access_log import AccessLog
from nodrop.metrics.directory import Directory
from nodrop.metrics.instruments import Instruments
from nodrop.metrics.metrics import Metrics
from nodrop.metrics.usage import UsageMeter
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.registry.verbs import Registry
from nodrop.statedir import StateDir


@dataclass(frozen=True, slots=True)
class Observation:
    """What is there before anything that is watched."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    instruments: Instruments = field(init=False)

    def __post_init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs has no types
        object.__setattr__(self, "instruments", Instruments(self.registry))

    def metrics(
        self,
        state: StateDir,
        directory: Directory,
        registry: Registry,
        *,
        keeper: Keeper,
        proxy: HAProxy,
        access_log: bool,
    ) -> Metrics:
        """The metrics of an engine whose parts exist."""
        return Metrics(
            self.registry,
            proxy=proxy,
            pool_of=proxy.pool_of,
            meter=UsageMeter(keeper),
            directory=directory,
            instruments=self.instruments,
            revision=registry.revision,
            log_socket=state.log_socket,
            access_log=AccessLog(state.access_log) if access_log else None,
        )
