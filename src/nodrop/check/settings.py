"""What a check takes for granted, and which rules run. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from nodrop.check.finding import BOTH, Level, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Figures that no manifest holds, and the choice of rules.

    ``propagation_s``: how long a cluster still sends to a pod that ends. kube-proxy syncs its
    rules at most once a second and ingress controllers add one to three seconds; 5 leaves a
    margin. ``longest_request_s``: 10, which few requests of a
    service that people wait for exceed.
    ``start_up_s`` and ``peak_utilisation`` are unknown unless given.
    """

    targets: frozenset[Target] = BOTH
    fail_on: Level = "warning"
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    per_path_ignores: dict[str, tuple[str, ...]] = field(default_factory=dict)
    propagation_s: float = 5.0
    longest_request_s: float = 10.0
    start_up_s: float | None = None
    peak_utilisation: float | None = None

    def runs(self, rule: str) -> bool:
        """Whether a rule is asked for; ``ND3`` stands for all whose id begins so."""
        chosen = not self.select or rule.startswith(self.select)
        return chosen and not (self.ignore and rule.startswith(self.ignore))
