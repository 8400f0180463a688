"""``nodrop user``: further users of the engine's API, with rights of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nodrop.cli.session import USAGE, Failure, connect, engine_of, runs, state_option
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.apiserver.users import Users
    from nodrop.client.http import HttpClient
    from nodrop.model.meta import Obj

_ROLES = ("view", "edit", "admin", "cluster-admin")


@click.group(short_help="Let others use the API: add, list and remove users.")
def user() -> None:
    """Further users of the engine's API.

    A user has a token, of which only a hash is kept, and the rights that RoleBindings and
    ClusterRoleBindings give.
    """


@user.command(short_help="Add a user, or give one a new token; prints a kubeconfig.")
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), help="What the user may do (add again: more).")
@click.option("-n", "--namespace", default="", help="Where the role holds (default: everywhere).")
@click.option("--group", "groups", multiple=True, help="A group the user is in; repeatable.")
@click.option("--token", "only_token", is_flag=True, help="Print the token alone.")
@state_option
@runs
async def add(
    state: StateDir,
    name: str,
    role: str | None,
    namespace: str,
    groups: tuple[str, ...],
    only_token: bool,
) -> None:
    """Add the user NAME and print a kubeconfig for it.

    nodrop user add ann --role edit -n shop > ann.kubeconfig

    For a user that exists: a new token (the old one ends), and one role more.
    """
    from nodrop.apiserver.users import BadUser
    from nodrop.clock import SystemClock

    if namespace and role == "cluster-admin":
        raise Failure("--role cluster-admin holds everywhere: leave out -n", code=USAGE)
    async with connect(state) as client:
        if namespace:
            await _must_exist(client, namespace)
        try:
            token = _users(state).add(name, groups, SystemClock().now())
        except BadUser as error:
            raise Failure(str(error), code=USAGE) from error
        if role:
            await _bind(client, binding_of(name, role, namespace))
        elif not await _has_rights(client, name, groups):
            click.echo(
                f"note: {name} may do nothing yet: nodrop user add {name} --role view", err=True
            )
    click.echo(token if only_token else _kubeconfig(state, token, namespace), nl=only_token)


@user.command("list", short_help="List users, their groups and roles.")
@state_option
@runs
async def list_(state: StateDir) -> None:
    """List users, their groups and roles."""
    async with connect(state) as client:
        bindings = await _bindings(client)
    users = _users(state).all()
    if not users:
        click.echo("no further users: nodrop user add NAME --role view", err=True)
    for name, found in sorted(users.items()):
        roles = ", ".join(_roles_of(name, bindings)) or "no role"
        groups = f" (in {', '.join(found.groups)})" if found.groups else ""
        click.echo(f"{name}{groups}: {roles}")


@user.command(short_help="Remove a user and the roles that were given by nodrop user add.")
@click.argument("name")
@state_option
@runs
async def remove(state: StateDir, name: str) -> None:
    """Remove the user NAME: its token ends at once, what it has open within seconds."""
    from nodrop.apiserver.users import BadUser
    from nodrop.client.actions import Delete
    from nodrop.model.meta import key_of

    try:
        _users(state).remove(name)
    except BadUser as error:
        raise Failure(str(error), code=USAGE) from error
    async with connect(state) as client:
        for binding in await _bindings(client):
            if binding["metadata"]["name"].startswith(f"nodrop:{name}:"):
                await client.apply(Delete(key_of(binding)))
    click.echo(f"removed {name}")


def binding_of(name: str, role: str, namespace: str) -> Obj:
    """The binding that gives ``role`` to a user, in ``namespace`` or (empty) everywhere."""
    from nodrop.model.rbac import GROUP

    metadata = {"name": f"nodrop:{name}:{role}"}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {**metadata, "namespace": namespace} if namespace else metadata,
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": name}],
    }


# Private


def _users(state: StateDir) -> Users:
    from nodrop.apiserver.users import Users

    return Users(state.users)


def _kubeconfig(state: StateDir, token: str, namespace: str) -> str:
    from nodrop.client.kubeconfig import render_kubeconfig

    return render_kubeconfig(
        server=engine_of(state)["api"]["url"],
        ca_pem=(state.pki / "ca.crt").read_text(),
        token=token,
        namespace=namespace or "default",
    )


async def _must_exist(client: HttpClient, namespace: str) -> None:
    """Asked before the user is added: a token that is not printed would be lost."""
    from nodrop.model.errors import ApiError
    from nodrop.model.kinds import NAMESPACE
    from nodrop.model.meta import ObjectKey

    try:
        await client.get(ObjectKey(NAMESPACE, "", namespace))
    except ApiError as error:
        if error.reason != "NotFound":
            raise
        raise Failure(
            f"-n {namespace}: there is no such namespace",
            hint=f"create it first: kubectl create namespace {namespace}",
            code=USAGE,
        ) from error


async def _bind(client: HttpClient, binding: Obj) -> None:
    from nodrop.client.actions import Create
    from nodrop.model.errors import ApiError

    try:
        await client.apply(Create(binding))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


async def _bindings(client: HttpClient) -> list[Obj]:
    from nodrop.model.kinds import CLUSTERROLEBINDING, ROLEBINDING

    return [
        *(await client.list(CLUSTERROLEBINDING)).items,
        *(await client.list(ROLEBINDING)).items,
    ]


async def _has_rights(client: HttpClient, name: str, groups: tuple[str, ...]) -> bool:
    """Whether a binding names the user or, since its groups may have rights, any group is given."""
    return bool(groups) or bool(_roles_of(name, await _bindings(client)))


def _roles_of(name: str, bindings: list[Obj]) -> list[str]:
    return [
        f"{binding['roleRef']['name']} in {_where(binding)}"
        for binding in bindings
        if any(
            subject.get("kind") == "User" and subject.get("name") == name
            for subject in binding.get("subjects") or ()
        )
    ]


def _where(binding: Obj) -> str:
    return binding["metadata"].get("namespace") or "all namespaces"
