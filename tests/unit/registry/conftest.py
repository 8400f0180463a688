"""The registry under test."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from nodrop.registry.interface import Allocation
from nodrop.registry.verbs import Registry
from nodrop.store.sqlite import SqliteStore
from tests.unit.registry.world import StandingClock, World


@pytest.fixture
def world() -> Iterator[World]:
    store = SqliteStore(":memory:")
    clock = StandingClock()
    allocation = Allocation(
        pod_cidr="127.64.0.0/16", service_cidr="127.65.0.0/29", node_ports=(30000, 30002)
    )
    capacity = {"cpu": "4", "memory": "8Gi"}
    yield World(
        store, clock, Registry(store, clock, allocation, random.Random(1), capacity=capacity)
    )
    store.close()
