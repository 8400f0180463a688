"""What every rule is given, and the words that several of them use. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nodrop.check.bundle import Bundle, Workload
from nodrop.check.settings import Settings
from nodrop.check.views import Container


@dataclass(frozen=True)
class Case:
    """The manifests and what is taken for granted."""

    bundle: Bundle
    settings: Settings

    def serving_containers(self) -> Iterator[tuple[Workload, Container]]:
        """Each container that gets users' requests."""
        for workload in self.bundle.serving:
            for container in self.bundle.serving_containers(workload):
                yield workload, container

    def all_containers(self) -> Iterator[tuple[Workload, Container]]:
        """Each container but init containers, of whatever kind of pod."""
        for workload in self.bundle.workloads:
            for container in workload.pod.containers:
                yield workload, container


def counted(number: int, noun: str) -> str:
    """``1 pod``, ``3 pods``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
