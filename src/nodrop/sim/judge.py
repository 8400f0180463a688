"""Watches everything that happens, writes the timeline, and judges it by the invariants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from signal import Signals

from nodrop.client.actions import Plan
from nodrop.clock import Clock
from nodrop.model.kinds import DEPLOYMENT, EVENT, POD, REPLICASET
from nodrop.model.meta import ObjectKey, uid_of
from nodrop.proxy.protocol import RoutingTable
from nodrop.proxy.routing import diff_tables
from nodrop.sim import invariants
from nodrop.sim.facts import Facts, PodFact
from nodrop.sim.manifests import SIDECAR, deployment_of
from nodrop.sim.runtime import App
from nodrop.sim.timeline import Timeline
from nodrop.store.protocol import Change


@dataclass(frozen=True, slots=True)
class Violation:
    """The first invariant that didn't hold, and what happened."""

    at_s: float
    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_s:.3f} s: {self.what}"


class Judge:
    """Told synchronously of every event. The first violation ends the run.

    ``facts`` are kept by Deployment, each of which has a Service of its name: what is promised is
    promised of each.
    """

    def __init__(self, timeline: Timeline, clock: Clock, facts: Mapping[str, Facts]) -> None:
        self.timeline = timeline
        self.facts = facts
        self.violation: Violation | None = None
        self.over = asyncio.Event()
        self.by_user = False
        #: The pod that a user evicts in this instant.
        self.evicting = ""
        #: When the last fault ended, the last control plane started, or the clock jumped.
        self.disturbed_s = 0.0
        self.disturbed = 0
        self.serving: Callable[[], RoutingTable] = RoutingTable
        self.in_flight: Callable[[str], int] = lambda pod_uid: 0
        self.on_end: Callable[[App, str], None] = lambda app, why: None
        self._clock = clock
        self._sigterm_s: dict[App, float] = {}
        #: Since when an app has nothing in flight but streams and gets no new request.
        self._idle_s: dict[App, float] = {}

    @property
    def now_s(self) -> float:
        return self.timeline.time()

    @property
    def calm_s(self) -> float:
        """For how long nothing has been wrong."""
        return 0.0 if self.disturbed else self.now_s - self.disturbed_s

    def fail(self, invariant: str, what: str | None) -> None:
        """Note a violation, if there is one."""
        if what is None or self.violation is not None:
            return
        self.violation = Violation(self.now_s, invariant, what)
        self.timeline.add("VIOLATION", invariant, what)
        self.over.set()

    # Store and controllers

    def on_change(self, change: Change) -> None:
        now_s, now = self.now_s, self._clock.now()
        if change.key.kind != EVENT:
            who = "user" if self.by_user else "store"
            self.timeline.add(who, f"{change.type} {change.key} @{change.revision}", _brief(change))
        if change.key.kind not in (DEPLOYMENT, REPLICASET, POD):
            return
        facts = self.facts[deployment_of(change.key.name)]
        before = facts.pods.get(uid := uid_of(change.obj))
        was_active = before is not None and before.active
        shrunk_s = facts.shrunk_s
        facts.take(change, now_s=now_s, now=now, by_user=self.by_user)
        pod = facts.pods.get(uid)
        if before is None and pod is not None:
            self.fail("ceiling (S3)", invariants.ceiling_broken(facts, pod, now_s))
        if was_active and before is not None and not before.active:
            self.fail("floor (S5)", invariants.floor_broken(facts, before, now_s, now))
            if before.name == self.evicting and facts.min_available is not None:
                why = invariants.budget_broken(facts, before, facts.min_available, now_s - shrunk_s)
                self.fail("evictions keep the budget", why)

    def on_plan(self, controller: str, key: ObjectKey, plan: Plan) -> None:
        if not plan.actions:
            return
        self.timeline.add(controller, str(key), "; ".join(plan.because))
        if controller == "replicaset":
            for one in self.facts[deployment_of(key.name)].sets.values():
                if one.name == key.name:
                    one.acts()
        if controller == "deployment":
            facts = self.facts[deployment_of(key.name)]
            self.fail("one action a sync", invariants.both_ways(facts, plan))

    # Data plane

    def on_asked(self, table: RoutingTable) -> None:
        for name, facts in self.facts.items():
            self._judge_table(facts, of_service(table, name))

    def _judge_table(self, facts: Facts, table: RoutingTable) -> None:
        """One Service's part of a table."""
        now_s, now = self.now_s, self._clock.now()
        if self.calm_s > invariants.LATE_S:
            lost = invariants.lost_backend(facts, table)
            self.fail("a ready pod keeps its traffic (S5, S9)", lost)
        for uid in sorted(table.pods()):
            pod = facts.pods.get(uid)
            if pod is None and (stranger := self._pod(uid)) is not None:
                what = f"a table is asked for with {stranger.name}, which is another Service's"
                self.fail("only ready backends (S8, S9)", what)
            if pod is not None and pod.ready_s is not None:
                pod.routed = True
            why = invariants.wrong_backend(facts, table, uid, now_s=now_s, now=now)
            strict = pod is not None and not pod.was_ready
            if why and (strict or self.calm_s > invariants.LATE_S):
                self.fail("only ready backends (S8, S9)", f"a table is asked for with {why}")

    def on_serving(self, before: RoutingTable, table: RoutingTable) -> None:
        for line in diff_tables(before, table):
            self.timeline.add("proxy", line)

    def on_cut(self, pod_uid: str) -> None:
        """The data plane closes a stream of a pod."""
        pod = self._pod(pod_uid)
        self.timeline.add("proxy", "closes a stream", pod.name if pod else pod_uid)
        self.fail("streams have their time", invariants.early_cut(pod, self._used_s(pod)))

    # Machine

    def on_start(self, app: App) -> None:
        self.timeline.add("runtime", f"start {app.spec.id}", app.spec.pod_ip)

    def on_signal(self, app: App, signal: Signals) -> None:
        self.timeline.add("runtime", f"{signal.name} {app.spec.id}")
        pod = self._pod(app.spec.pod_uid)
        used_s = self._used_s(pod)
        if app not in self._sigterm_s and signal != Signals.SIGKILL:
            self._sigterm_s[app] = self.now_s
            self._judge_first(app, pod, signal, used_s)
            if app.in_hook:
                why = invariants.signal_in_hook(pod, used_s)
                self.fail("SIGTERM after preStop (S18, S19)", why)
        elif signal == Signals.SIGKILL:
            sent_s = self._sigterm_s.get(app)
            after_s = None if sent_s is None else self.now_s - sent_s
            if pod is None or pod.deleted_s is None or not pod.forced:
                why = invariants.early_kill(pod, used_s=used_s, after_sigterm_s=after_s)
                self.fail("grace period (S15)", why)

    def on_exit(self, app: App, why: str) -> None:
        self.timeline.add("runtime", f"exit {app.spec.id} {_code(app)}", why)
        self._sigterm_s.pop(app, None)
        self._idle_s.pop(app, None)
        self.on_end(app, why)

    def on_hook(self, app: App, command: Sequence[str], *, begins: bool) -> None:
        words = " ".join(command)
        self.timeline.add("runtime", f"{words} {'begins' if begins else 'ends'} in {app.spec.id}")
        if words != "pre-stop":
            return
        app.in_hook += 1 if begins else -1
        app.was_in_hook = True
        pod = self._pod(app.spec.pod_uid)
        if begins:
            self._judge_first(app, pod, Signals.SIGTERM, self._used_s(pod))

    # Looked at again and again

    def sweep(self, apps: Sequence[App]) -> None:
        """What must have happened by now."""
        if self.calm_s <= invariants.LATE_S:
            return
        for app in apps:
            pod = self._pod(app.spec.pod_uid)
            if app.running and pod is not None and pod.deleted_s is not None:
                used_s = self.now_s - max(pod.deleted_s, self.disturbed_s)
                self.fail("grace period (S15, S20)", invariants.overdue(pod, used_s))
                self._judge_idle(app, pod)
        for facts in self.facts.values():
            for one in facts.sets.values():
                why = invariants.not_replaced(facts, one, self.calm_s, self.now_s)
                self.fail("a terminating pod counts nowhere", why)

    # Private

    def _pod(self, uid: str) -> PodFact | None:
        found = (facts.pods.get(uid) for facts in self.facts.values())
        return next((pod for pod in found if pod is not None), None)

    def _judge_first(self, app: App, pod: PodFact | None, signal: Signals, used_s: float) -> None:
        uid = app.spec.pod_uid
        why = invariants.early_signal(
            pod,
            signal,
            routed=uid in self.serving().pods(),
            in_flight=self.in_flight(uid),
            used_s=used_s,
        )
        self.fail("no signal before removal and drain (S12, S13)", why)

    def _judge_idle(self, app: App, pod: PodFact) -> None:
        uid = app.spec.pod_uid
        told = app in self._sigterm_s or app.in_hook or app.was_in_hook
        if app.spec.name == SIDECAR:
            return  # its turn comes when the others have ended
        if told or self.in_flight(uid) or uid in self.serving().pods():
            self._idle_s.pop(app, None)
            return
        hook_s = max(pod.sleep_hook_s, app.behaviour.hook_s)
        since_s = max(self._idle_s.setdefault(app, self.now_s), self.disturbed_s)
        why = invariants.late_signal(pod, self.now_s - since_s - hook_s)
        self.fail("streams keep no pod from its signal", why)

    def _used_s(self, pod: PodFact | None) -> float:
        """How much of the grace period is used up: by the wall or by the loop, the larger."""
        if pod is None or pod.deleted_s is None or pod.deleted_at is None:
            return 0.0
        wall_s = (self._clock.now() - pod.deleted_at).total_seconds()
        return max(wall_s, self.now_s - pod.deleted_s)


def of_service(table: RoutingTable, name: str) -> RoutingTable:
    """The table without the pools of other Services."""
    pools = {pool: backends for pool, backends in table.pools.items() if pool.service == name}
    return replace(table, pools=pools)


def _code(app: App) -> int:
    assert app.state.exit is not None
    return app.state.exit.code


def _brief(change: Change) -> str:
    """The few fields that tell what a write was about."""
    obj, kind = change.obj, change.key.kind
    status = obj.get("status") or {}
    if kind == POD:
        ready = [c["status"] for c in status.get("conditions") or () if c["type"] == "Ready"]
        ending = " ending" if obj["metadata"].get("deletionTimestamp") else ""
        return f"{status.get('phase', '')} ready={','.join(ready)}{ending}"
    if kind in (REPLICASET, DEPLOYMENT):
        counts = [status.get(f"{name}eplicas", 0) for name in ("r", "readyR", "availableR")]
        return f"{obj['spec'].get('replicas')}: {'/'.join(map(str, counts))}"
    return ""
