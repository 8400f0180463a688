"""Cells of ServiceAccounts, Leases, Roles and their bindings."""

from __future__ import annotations

from datetime import datetime

from nodrop.apiserver.cells.column import Cell, Column, object_age
from nodrop.model.meta import Obj

SERVICEACCOUNT_COLUMNS = (Column("Name"), Column("Secrets", type="integer"), Column("Age"))
LEASE_COLUMNS = (Column("Name"), Column("Holder"), Column("Age"))
ROLE_COLUMNS = (Column("Name"), Column("Created At"))
BINDING_COLUMNS = (
    Column("Name"),
    Column("Role"),
    Column("Age"),
    Column("Users", wide=True),
    Column("Groups", wide=True),
    Column("ServiceAccounts", wide=True),
)


def serviceaccount_cells(account: Obj, now: datetime) -> list[Cell]:
    return [
        account["metadata"]["name"],
        len(account.get("secrets") or ()),
        object_age(account, now),
    ]


def lease_cells(lease: Obj, now: datetime) -> list[Cell]:
    holder = (lease.get("spec") or {}).get("holderIdentity") or ""
    return [lease["metadata"]["name"], holder, object_age(lease, now)]


def role_cells(role: Obj, now: datetime) -> list[Cell]:
    meta = role["metadata"]
    return [meta["name"], meta.get("creationTimestamp", "")]


def binding_cells(binding: Obj, now: datetime) -> list[Cell]:
    ref = binding.get("roleRef") or {}
    return [
        binding["metadata"]["name"],
        f"{ref.get('kind', '')}/{ref.get('name', '')}",
        object_age(binding, now),
        *(_subjects(binding, kind) for kind in ("User", "Group", "ServiceAccount")),
    ]


# Private


def _subjects(binding: Obj, kind: str) -> str:
    return ", ".join(
        f"{subject['namespace']}/{subject['name']}"
        if subject.get("namespace") and kind == "ServiceAccount"
        else subject.get("name", "")
        for subject in binding.get("subjects") or ()
        if subject.get("kind") == kind
    )
