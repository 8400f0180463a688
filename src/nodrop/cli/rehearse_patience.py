"""How long a rehearsal waits for pods to become ready, and what it says when it no longer does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nodrop.cli.follow import reasons
from nodrop.cli.progress import Problem, Standing, problems_of, rollout_message
from nodrop.cli.session import Failure
from nodrop.client.http import HttpClient
from nodrop.model.meta import Obj, ObjectKey
from nodrop.rehearse.lives import Lives

#: What every program gets, whatever its probes say: many need half a minute on a busy machine.
_LEAST_S = 60.0
#: Init containers come first.
_RUNS_WITHIN_S = 180.0
#: For how long an answer may stay the same that time hardly changes (404, 500).
_REFUSING_S = 15.0
#: For how long a problem lasts that no waiting mends; a ConfigMap may be on its way.
_LASTING_S = 5.0
#: "Come again": answers of a program that is not ready yet.
_LATER = frozenset({429, 503})
_STATUS = re.compile(r"^Readiness probe failed: HTTP probe failed with statuscode: (\d{3})$")
_WAIT = "wait longer with --ready-within SECONDS"


@dataclass(frozen=True, slots=True)
class Patience:
    """``longest_s``: how long a pod that runs may take until it is ready; ``refusing_s``: how
    long its readiness probe may get one and the same answer that time hardly changes."""

    longest_s: float
    refusing_s: float


def patience_with(pods: Sequence[Obj], told_s: float | None = None) -> Patience:
    """From the probes of pods' specs; ``told_s`` is what the user said instead.

    The budget of the startup probe, then three failures of the readiness probe by default:

    >>> probe = {"initialDelaySeconds": 30, "periodSeconds": 20}
    >>> patience_with([{"containers": [{"readinessProbe": probe}]}]).longest_s
    90.0
    """
    if told_s is not None:
        return Patience(told_s, told_s)
    budgets = [
        sum(_budget_s(container.get(kind)) for kind in ("startupProbe", "readinessProbe"))
        for pod in pods
        for container in pod.get("containers") or ()
    ]
    return Patience(max([_LEAST_S, *budgets]), _REFUSING_S)


def is_over(problem: Problem, waited_s: float, patience: Patience) -> bool:
    """Whether nothing is to be expected any more of a pod that has run for ``waited_s``."""
    if waited_s >= patience.longest_s:
        return True
    status = refusal_of(problem)
    return status is not None and status not in _LATER and problem.lasted_s >= patience.refusing_s


def refusal_of(problem: Problem) -> int | None:
    """The status that the readiness probe was answered with last, None where it was not."""
    found = _STATUS.match(problem.message)
    return int(found[1]) if found else None


def way_out(problem: Problem) -> str:
    """What would help; empty where the problem itself says so."""
    if problem.lasting:
        return ""
    status = refusal_of(problem)
    if status is not None and 400 <= status < 500 and status not in _LATER:
        return (
            f"the app answers the readinessProbe's path with {status}: name one there that it "
            f"answers with 200; or {_WAIT}"
        )
    if status is not None:
        return f"the app says by {status} that it is not ready: its log may tell why; or {_WAIT}"
    if "connection refused" in problem.message:
        return (
            "nothing listens at the probe's port: does the app use that port, and 0.0.0.0 or "
            f"$POD_IP instead of 127.0.0.1? If it only starts slowly, {_WAIT}"
        )
    return _WAIT


class Outlook:
    """Whether the pods of a rollout may still become ready."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._lasting_since_s: float | None = None

    def given_up(
        self, pods: Sequence[Obj], events: Sequence[Obj], lives: Lives, now_s: float
    ) -> Problem | None:
        """The problem of a pod that is not worth waiting for; None while there is hope."""
        lasting = next((each for each in problems_of(pods, events) if each.lasting), None)
        if lasting is None:
            self._lasting_since_s = None
        elif self._lasting_since_s is None:
            self._lasting_since_s = now_s
        elif now_s - self._lasting_since_s > _LASTING_S:
            return lasting
        for pod in pods:
            life = lives.of(pod["metadata"]["name"])
            if life is None or life.phase != "starting":
                continue
            if life.started is None:
                if now_s - life.seen >= max(_RUNS_WITHIN_S, self.patience.longest_s):
                    return _unexplained(pod, "its containers have not started")
                continue
            problem = next(iter(problems_of([pod], events)), None)
            problem = problem or _unexplained(pod, "it is not ready, and no Event says why")
            if is_over(problem, now_s - life.started, self.patience):
                return problem
        return None


async def gave_up(client: HttpClient, deployment: ObjectKey, problem: Problem) -> Failure:
    """The error for it, with the end of the container's log."""
    message, _, _ = rollout_message(await client.get(deployment))
    standing = Standing("failed", message, (problem,))
    lines = [line async for line in reasons(client, deployment, standing, "failed")]
    return Failure("\n".join(lines), hint=way_out(problem))


# Private


def _budget_s(probe: Obj | None) -> float:
    if probe is None:
        return 0.0
    failures = float(probe.get("failureThreshold") or 3)
    period_s = float(probe.get("periodSeconds") or 10)
    return float(probe.get("initialDelaySeconds") or 0) + failures * period_s


def _unexplained(pod: Obj, message: str) -> Problem:
    name, containers = pod["metadata"]["name"], pod["spec"]["containers"]
    return Problem(name, containers[0]["name"], "NotReady", message, lasting=False, wants_logs=True)
