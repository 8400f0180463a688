"""The store as a state machine: whatever is written, reading and replaying it agree."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nodrop.model.kinds import CONFIGMAP, DEPLOYMENT, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision
from nodrop.store.protocol import ABSENT, Change, ChangeType, Expired, PreconditionFailed, Write
from nodrop.store.sqlite import SqliteStore

KEYS = st.builds(
    ObjectKey,
    st.sampled_from([CONFIGMAP, DEPLOYMENT]),
    st.sampled_from(["default", "other"]),
    st.sampled_from(["a", "b", "c"]),
)
VALUES = st.text(max_size=4)

State = dict[ObjectKey, Obj]


class StoreMachine(RuleBasedStateMachine):
    """A model of plain dicts: the state after every revision, and the changes between them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "state.db"
        self.store = SqliteStore(self.path)
        self.states: list[State] = [{}]  # index = revision
        self.history: list[Change] = []
        self.compacted = 0

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @property
    def state(self) -> State:
        return self.states[-1]

    @rule(key=KEYS, value=VALUES)
    def put(self, key: ObjectKey, value: str) -> None:
        obj = {"metadata": {"namespace": key.namespace, "name": key.name}, "data": value}
        self._accept(self.store.commit(Write(key, obj, self._actual(key))), obj)

    @rule(key=KEYS)
    def delete(self, key: ObjectKey) -> None:
        if key not in self.state:
            return
        final = self.state[key]
        write = Write(key, final, self._actual(key), delete=True)
        self._accept(self.store.commit(write), None)

    @rule(key=KEYS, wrong=st.integers(0, 60), delete=st.booleans())
    def stale_write(self, key: ObjectKey, wrong: int, delete: bool) -> None:
        if wrong == self._actual(key):
            return
        with pytest.raises(PreconditionFailed) as caught:
            self.store.commit(Write(key, {"metadata": {}}, Revision(wrong), delete=delete))
        assert caught.value.actual == self._actual(key)

    @rule(share=st.floats(0, 1))
    def compact(self, share: float) -> None:
        before = int(share * len(self.history))
        self.store.compact(Revision(before))
        self.compacted = max(self.compacted, before)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = SqliteStore(self.path)

    @rule(share=st.floats(0, 1), kind=st.sampled_from([None, CONFIGMAP, DEPLOYMENT]))
    def replay(self, share: float, kind: Kind | None) -> None:
        """A watch from any revision equals the history after it, or says that it is gone."""
        since = Revision(int(share * len(self.history)))
        if since < self.compacted:
            with pytest.raises(Expired):
                self.store.after(since, kind)
            return
        wanted = [one for one in self.history[since:] if kind in (None, one.key.kind)]
        assert list(self.store.after(since, kind)) == wanted

    @rule(share=st.floats(0, 1), kind=st.sampled_from([CONFIGMAP, DEPLOYMENT]))
    def list_then(self, share: float, kind: Kind) -> None:
        at = Revision(int(share * len(self.history)))
        if at < self.compacted:
            with pytest.raises(Expired):
                self.store.list(kind, at=at)
            return
        found = [one.obj for one in self.store.list(kind, at=at)]
        assert found == _sorted(self.states[at], kind)

    @invariant()
    def reading_agrees(self) -> None:
        assert self.store.revision == len(self.history)
        assert self.store.compacted == self.compacted
        for kind in (CONFIGMAP, DEPLOYMENT):
            assert [one.obj for one in self.store.list(kind)] == _sorted(self.state, kind)
            others = [one.obj for one in self.store.list(kind, namespace="other")]
            assert others == [
                obj for obj in _sorted(self.state, kind) if obj["metadata"]["namespace"] == "other"
            ]

    def _actual(self, key: ObjectKey) -> Revision:
        held = self.state.get(key)
        return Revision(int(held["metadata"]["resourceVersion"])) if held else ABSENT

    def _accept(self, change: Change, obj: Obj | None) -> None:
        revision = len(self.history) + 1
        before = self.state.get(change.key)
        final: dict[str, Any] = obj if obj is not None else dict(before or {})
        stored = {**final, "metadata": {**final["metadata"], "resourceVersion": str(revision)}}
        expected_type: ChangeType = "DELETED" if obj is None else "MODIFIED" if before else "ADDED"
        assert change == Change(expected_type, change.key, stored, before, Revision(revision))
        self.history.append(change)
        after = dict(self.state)
        if obj is None:
            del after[change.key]
        else:
            after[change.key] = stored
        self.states.append(after)


def _sorted(state: State, kind: Kind) -> list[Obj]:
    keys = sorted((key for key in state if key.kind == kind), key=lambda key: key[1:])
    return [state[key] for key in keys]


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
