"""Where the demo's service is found, and what the demo does with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nodrop
from nodrop.check.source import read_files
from nodrop.cli.apply import prepare
from nodrop.cli.session import Failure
from nodrop.model.meta import Obj


@dataclass(frozen=True, slots=True)
class Step:
    """One rollout; without a file it goes back to the revision before (undo)."""

    name: str
    file: str | None


FIRST = "v1.yaml"
#: How a version ends shows when the next one replaces it, so v4 is replaced too.
STEPS = (
    Step("v1 → v2", "v2.yaml"),
    Step("v2 → v1 (undo)", None),
    Step("v1 → v3", "v3.yaml"),
    Step("v3 (exits at once) → v4", "v4.yaml"),
    Step("v4 (ignores SIGTERM) → v1", "v1.yaml"),
)


@dataclass(frozen=True, slots=True)
class Script:
    """What a run deploys first, what it rolls to then, and which load it sends meanwhile.

    Manifests lie in ``folder`` and hold one Deployment named ``deployment``; ``load`` are
    arguments of the load process beyond its target and rate.
    """

    folder: Path
    deployment: str
    first: str
    steps: tuple[Step, ...]
    load: tuple[str, ...] = ("--expect-id",)

    def objects(self, file: str, *, surge: int | None) -> list[Obj]:
        """A manifest's objects, ready to apply; with more ``surge`` where time is short."""
        objects = prepare(read_files([self.folder / file]), "default")
        for obj in objects:
            if surge is not None and obj["kind"] == "Deployment":
                obj["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = surge
        return objects


def demo_script() -> Script:
    """The demo's own. Raises Failure when examples/hello is not there."""
    return Script(hello_folder(), "hello", FIRST, STEPS)


def hello_folder() -> Path:
    """``examples/hello`` of the checkout that nodrop runs from. Raises Failure."""
    package = Path(nodrop.__file__).resolve().parent
    for root in (package, *package.parents[:2]):
        folder = root / "examples" / "hello"
        if (folder / FIRST).is_file():
            return folder
    raise Failure(
        f"the demo's service examples/hello was not found beside {package}",
        hint="run the demo from a checkout of nodrop: ./dev demo",
    )
