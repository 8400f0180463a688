"""What a plan costs: seconds and memory for 100, 1,000 and 10,000 replicas, each in a process."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from bench.engine import output_of, say
from bench.figures import Figure, at_most
from bench.manifests import HELLO

_GOAL_S, _GOAL_MB = 60.0, 1024.0
#: How much dearer a pod may be among 10,000 than among 100, and still be called linear.
_GOAL_RATIO = 2.0
_SIZES = (100, 1_000, 10_000)
_TIMEOUT_S = 600.0
#: Runs the command in a process and tells what it used, by the kernel's word.
_MEASURED = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "nodrop", *sys.argv[1:]], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(done.returncode)
"""


async def measure(*, quick: bool) -> list[Figure]:
    """Plan a new version of the hello example, without the worst case and with it."""
    figures: list[Figure] = []
    cost_s: dict[int, float] = {}
    for size in _SIZES[:2] if quick else _SIZES:
        wall_s, cpu_s, memory_mb = await _plan(size)
        cost_s[size] = cpu_s / size
        say(f"  {size} replicas: {wall_s:.1f} s, {memory_mb:.0f} MB")
        largest = size == _SIZES[-1]
        note = f"{cpu_s:.1f} s of CPU; both courses: it goes well, and no new pod is ever ready"
        goal = at_most(_GOAL_S) if largest else None
        figures.append(Figure(f"plan of {size} replicas", wall_s, "s", goal, note))
        goal = at_most(_GOAL_MB) if largest else None
        figures.append(Figure(f"memory of it, {size} replicas", memory_mb, "MB", goal))
    first, last = min(cost_s), max(cost_s)
    figures.append(
        Figure(
            f"CPU a replica, {last} against {first}",
            cost_s[last] / cost_s[first],
            "×",
            at_most(_GOAL_RATIO),
            "1 is exactly linear",
        )
    )
    return figures


async def _plan(size: int) -> tuple[float, float, float]:
    """(seconds, CPU seconds, MB) of one ``nodrop plan``."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        old, new = Path(folder) / "old.yaml", Path(folder) / "new.yaml"
        old.write_text(_manifests(size, "v1"))
        new.write_text(_manifests(size, "v2"))
        start_s = loop.time()
        argv = ("plan", "--from", str(old), "-f", str(new), "--json")
        out = await output_of(
            *(f"a plan of {size} replicas", sys.executable, "-c", _MEASURED, *argv),
            timeout_s=_TIMEOUT_S,
        )
    cpu_s, memory_mb = map(float, out.split())
    return loop.time() - start_s, cpu_s, memory_mb


def _manifests(size: int, version: str) -> str:
    """The hello example with so many replicas, 25 % surge and 25 % unavailable."""
    documents = [d for d in yaml.safe_load_all((HELLO.parent / f"{version}.yaml").read_text()) if d]
    for document in documents:
        if document["kind"] == "Deployment":
            rolling: dict[str, Any] = {"maxSurge": "25%", "maxUnavailable": "25%"}
            document["spec"]["replicas"] = size
            document["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return "---\n".join(map(json.dumps, documents)).replace("}---", "}\n---")
