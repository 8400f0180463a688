"""What ``nodrop rollout`` says, word for word as kubectl does (semantics 1.10, 1.13)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from click.testing import CliRunner

from nodrop.cli import rollout
from nodrop.cli.rollout import key_of_name
from nodrop.cli.session import Failure
from nodrop.client.actions import Patch
from nodrop.client.protocol import Page, Scope
from nodrop.model.kinds import DEPLOYMENT, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision


def _set(revision: int, version: int) -> Obj:
    return {
        "metadata": {
            "name": f"web-{version}",
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [{"uid": "u", "controller": True, "kind": "Deployment"}],
        },
        "spec": {"template": _template(version)},
    }


def _template(version: int) -> Obj:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"image": f"web:v{version}"}}


class _Client:
    """The little of a client that the commands use."""

    def __init__(self, *sets: Obj, **spec: Any) -> None:
        self.deployment: Obj = {
            "metadata": {"name": "web", "namespace": "default", "uid": "u"},
            "spec": {"template": _template(1), **spec},
        }
        self.sets = sets
        self.patches: list[object] = []

    async def get(self, key: ObjectKey) -> Obj:
        return self.deployment

    async def patch_json(self, key: ObjectKey, operations: list[Obj]) -> None:
        self.patches.append(operations)

    async def apply(self, action: Patch) -> None:
        self.patches.append(action.patch)

    async def list(self, kind: Kind, scope: Scope) -> Page:
        return Page(tuple(self.sets), Revision(1))


def _say(monkeypatch: pytest.MonkeyPatch, client: _Client, *words: str) -> tuple[int, str]:
    @asynccontextmanager
    async def connect(state: object) -> AsyncIterator[_Client]:
        yield client

    monkeypatch.setattr(rollout, "connect", connect)
    done = CliRunner().invoke(rollout.rollout, list(words))
    return done.exit_code, done.output


TWO = (_set(1, 1), _set(2, 2))


@pytest.mark.parametrize(
    ("command", "client", "code", "said", "patches"),
    [
        (
            ("restart", "web"),
            _Client(paused=True),
            1,
            "can't restart paused deployment (run rollout resume first)",
            0,
        ),
        (("restart", "web"), _Client(), 0, "deployment.apps/web restarted", 1),
        (
            ("undo", "web"),
            _Client(*TWO),
            0,
            "deployment.apps/web skipped rollback (current template already matches revision 1)",
            0,
        ),
        (
            ("undo", "web", "--to-revision", "2"),
            _Client(*TWO),
            0,
            "deployment.apps/web rolled back to revision 2",
            1,
        ),
        (
            ("undo", "web", "--to-revision", "7"),
            _Client(*TWO),
            1,
            "unable to find specified revision 7 in history (1, 2)",
            0,
        ),
        (
            ("undo", "web"),
            _Client(_set(1, 1)),
            1,
            'no rollout history found for deployment "web"',
            0,
        ),
        (("undo", "web"), _Client(*TWO, paused=True), 1, 'deployment "web" is paused', 0),
        (("pause", "web"), _Client(), 0, "deployment.apps/web paused", 1),
        (
            ("pause", "web"),
            _Client(paused=True),
            1,
            'deployments.apps "web" is already paused',
            0,
        ),
        (("resume", "web"), _Client(), 1, 'deployments.apps "web" is not paused', 0),
        (("resume", "web"), _Client(paused=True), 0, "deployment.apps/web resumed", 1),
    ],
)
def test_what_is_said(
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    client: _Client,
    code: int,
    said: str,
    patches: int,
) -> None:
    found, output = _say(monkeypatch, client, *command)
    assert (found, len(client.patches)) == (code, patches)
    assert said in output


@pytest.mark.parametrize("name", ["web", "deploy/web", "deployment/web", "deployments.apps/web"])
def test_a_deployment_is_named_as_for_kubectl(name: str) -> None:
    assert key_of_name("default", name) == ObjectKey(DEPLOYMENT, "default", "web")


def test_what_is_no_deployment_has_no_rollout() -> None:
    with pytest.raises(Failure, match="svc/web: rollouts are those of Deployments"):
        key_of_name("default", "svc/web")
