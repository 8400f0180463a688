"""The ledger of a rehearsal: every lost request with its cause, pod and phase of life. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nodrop.rehearse.cause import Cause, cause_of, detail_of
from nodrop.rehearse.lives import Life, LifePhase, Lives
from nodrop.rehearse.record import Outcome, Record

#: How the pod of a loss is known: the answer named it; it was the only one being ended; or not.
Sureness = Literal["named", "inferred", "unknown"]
#: A pod that has ended is still blamed for what breaks so soon after: proxies learn of it late.
_AFTER_END_S = 3.0
#: What stands in place of a method where messages of a stream are counted.
WEBSOCKET = "WebSocket"
_KEPT_LOSSES = 10_000


@dataclass(frozen=True, slots=True)
class Loss:
    """One lost request. Times are ``loop.time()``; ``pod`` is empty where it is not known."""

    number: int
    at: float
    intended: float
    method: str
    path: str
    status: int
    cause: Cause
    detail: str
    pod: str = ""
    version: str = ""
    phase: LifePhase | Literal[""] = ""
    sureness: Sureness = "unknown"

    @property
    def is_message(self) -> bool:
        """Whether it was on its way over a stream that had been opened, not a request."""
        return self.method == WEBSOCKET and not self.status

    @property
    def kind(self) -> Kind:
        return Kind(self.cause, self.phase, self.version, self.is_message)


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """Losses that one sentence and one mend are about."""

    cause: Cause
    phase: LifePhase | Literal[""]
    version: str
    is_message: bool = False


@dataclass(slots=True)
class Ledger:
    """All requests, answered or lost: ``requests`` = ``answered`` + ``lost``, always.

    Only the first 10,000 losses are kept one by one; all are counted.
    """

    requests: int = 0
    answered: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    losses: list[Loss] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.kinds.total()

    def causes(self) -> dict[Cause, int]:
        """Most frequent first."""
        counts: Counter[Cause] = Counter()
        for kind, number in self.kinds.items():
            counts[kind.cause] += number
        return dict(counts.most_common())

    def add(self, loss: Loss) -> None:
        self.kinds[loss.kind] += 1
        if len(self.losses) < _KEPT_LOSSES:
            self.losses.append(loss)


@dataclass(frozen=True, slots=True)
class Completion:
    """From ``at`` on every answer should be of pods of ``revision``, until the next change."""

    at: float
    until: float
    revision: str


@dataclass(slots=True)
class Evidence:
    """Records as they come: the answered ones are counted, what may be a loss is kept.

    It is judged at the end: only then is it known what pods went through.
    """

    requests: int = 0
    suspects: list[Record] = field(default_factory=list)

    def add_all(self, records: Iterable[Record], *, may_be_old: bool = False) -> None:
        """``may_be_old``: a rollout is complete, so the version of answers matters."""
        for record in records:
            self.requests += 1
            if record.lost or (may_be_old and record.pod):
                self.suspects.append(record)


def write_ledger(
    evidence: Evidence, lives: Lives, completions: Sequence[Completion] = ()
) -> Ledger:
    """Every request is answered or lost, and each loss is attributed."""
    ledger = Ledger(requests=evidence.requests)
    for record in sorted(evidence.suspects, key=lambda record: record.done):
        loss = loss_of(record, lives, completions)
        if loss is not None:
            ledger.add(loss)
    ledger.answered = ledger.requests - ledger.lost
    return ledger


def loss_of(record: Record, lives: Lives, completions: Sequence[Completion] = ()) -> Loss | None:
    """The loss that a record is, or None."""
    if record.outcome is Outcome.OK:
        if not _is_of_old_version(record, lives, completions):
            return None
        cause = Cause.WRONG_VERSION
    else:
        cause = cause_of(record)
    life, sureness = blame(record, cause, lives)
    return Loss(
        number=record.id,
        at=record.done,
        intended=record.intended,
        method=record.method,
        path=record.path,
        status=record.status,
        cause=cause,
        detail=detail_of(cause, has_pod=bool(life), is_repeatable=record.method == "GET"),
        pod=life.name if life else "",
        version=life.version if life else record.version,
        phase=life.phase_of_loss(_moment(record)) if life else "",
        sureness=sureness,
    )


def blame(record: Record, cause: Cause, lives: Lives) -> tuple[Life | None, Sureness]:
    """Which pod had the request: the one that is named, else the only one that was ending."""
    if (life := lives.of(record.pod)) is not None:
        return life, "named"
    if cause in (Cause.UNSENT, Cause.PROXY_503):  # the proxy says that it asked no pod
        return None, "unknown"
    ending = lives.ending_at(_moment(record), later_s=_AFTER_END_S)
    if len(ending) == 1:
        return ending[0], "inferred"
    return None, "unknown"


def _moment(record: Record) -> float:
    """When it went wrong: a time-out began when it was sent, all else shows when it ends."""
    if record.outcome is Outcome.TIMEOUT:
        return record.sent or record.intended
    return record.done


def _is_of_old_version(record: Record, lives: Lives, completions: Sequence[Completion]) -> bool:
    life = lives.of(record.pod)
    if life is None or not record.sent:
        return False
    return any(
        each.at <= record.sent < each.until and life.revision != each.revision
        for each in completions
    )
