"""What every rule is given, and the words that several of them use. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from nodrop.check.bundle import Bundle, Workload
from nodrop.check.settings import Settings
from nodrop.check.source import Document
from nodrop.check.views import Container, dig
from nodrop.model.kinds import DEPLOYMENT, kind_of
from nodrop.model.schema import Findings, decode_strictness


@dataclass(frozen=True)
class Case:
    """The manifests and what is taken for granted."""

    bundle: Bundle
    settings: Settings

    @cached_property
    def compared(self) -> list[tuple[Document, Findings]]:
        """Each object with what its schema says about it."""
        return list(_compared(self.bundle.documents))

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


# Private


def _compared(documents: Sequence[Document]) -> Iterator[tuple[Document, Findings]]:
    for document in documents:
        obj = document.obj
        if kind := kind_of(obj["apiVersion"], obj["kind"]):
            yield document, decode_strictness(obj, kind)
        elif obj["apiVersion"] == "apps/v1" and isinstance(dig(obj, "spec", "template"), dict):
            # Not served here, but its pod template is the same as a Deployment's.
            lone = {"spec": {"template": obj["spec"]["template"]}}
            yield document, decode_strictness(lone, DEPLOYMENT)
