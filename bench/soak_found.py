"""What a soak has found: counts by kind of client, ends of streams, and an honest verdict. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.leftovers import Leftovers
from bench.soak_service import kind_of
from nodrop.rehearse.lives import Lives
from nodrop.rehearse.record import Record
from nodrop.rehearse.stream import End
from nodrop.rehearse.summary import Tally
from nodrop.rehearse.verdict import Stages, Verdict, judge_run, overlap_of

_LOSSES_KEPT = 20
#: Kinds of clients whose connections are streams: only the application can end them well.
STREAMS = ("WEBSOCKET", "TCP", "SSE")


@dataclass(slots=True)
class Soaked:
    """Everything that was counted. ``losses`` holds the last few lost requests."""

    rollouts: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    seconds: float = 0.0
    by_client: dict[str, Tally] = field(default_factory=dict)
    ends: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    stages: Stages = field(default_factory=Stages)
    lives: Lives = field(default_factory=Lives)
    losses: deque[Record] = field(default_factory=lambda: deque(maxlen=_LOSSES_KEPT))
    leftovers: Leftovers = field(default_factory=Leftovers)
    survivors: list[str] = field(default_factory=list)

    def add(self, batch: Iterable[Record]) -> None:
        records = list(batch)
        self.lives.answered(records)
        for record in records:
            self.by_client.setdefault(record.method, Tally()).add(record)
            self.stages.add(record)
            if record.lost:
                self.losses.append(record)

    def add_end(self, end: End) -> None:
        """Note how a stream ended, by kind of client and of application."""
        if end.kind in STREAMS:
            kind = kind_of(end.version)
            how = "closed" if end.clean else "cut, message under way" if end.under_way else "cut"
            self.ends[end.kind, kind.name if kind else end.version, how] += 1

    @property
    def requests(self) -> int:
        return sum(tally.requests for tally in self.by_client.values())

    @property
    def lost(self) -> int:
        return sum(tally.lost for tally in self.by_client.values())

    @property
    def verdict(self) -> Verdict:
        """As for any rehearsal; and an application that closes its streams must have got to."""
        verdict = judge_run(self.stages, self.lives)
        cut = [
            f"{number} streams ({client}) were cut though the application ({name}) closes them"
            for (client, name, how), number in sorted(self.ends.items())
            if how != "closed" and ((kind := kind_of(f"v-{name}")) is None or kind.closes)
        ]
        if cut:
            return Verdict("lost", (*cut, *(verdict.because if verdict.result == "lost" else ())))
        return verdict

    @property
    def clean(self) -> bool:
        return self.verdict.result == "pass" and not (self.leftovers.any or self.survivors)

    def as_json(self) -> dict[str, Any]:
        verdict = self.verdict
        overlaps = [overlap_of(stage, self.stages, self.lives) for stage in self.stages.stages]
        return {
            "verdict": verdict.result,
            "because": verdict.because,
            "requests": self.requests,
            "lost": self.lost,
            "by_client": {name: tally.figures() for name, tally in sorted(self.by_client.items())},
            "streams_ended": [
                {"client": client, "app": app, "how": how, "number": number}
                for (client, app, how), number in sorted(self.ends.items())
            ],
            "rollouts": dict(self.rollouts),
            "pods_ended": sum(overlap.terminations for overlap in overlaps),
            "pods_ended_under_load": sum(overlap.under_load for overlap in overlaps),
            "kills_of_the_control_plane": self.kills,
            "seconds": round(self.seconds, 1),
            "last_losses": [loss_of(record) for record in self.losses],
            "left_while_running": asdict(self.leftovers),
            "left_after_down": self.survivors,
        }


def loss_of(record: Record) -> str:
    """One lost request in words."""
    seconds = record.done - record.intended
    return (
        f"{record.method} {record.id}: {record.outcome} {record.status or ''} after "
        f"{seconds:.3f} s, {record.version or 'no version'} {record.pod}".strip()
    )
