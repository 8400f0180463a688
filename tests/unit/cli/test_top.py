"""What ``nodrop top`` shows where there is little room."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from nodrop.cli.top import view


def row(namespace: str = "default") -> dict[str, Any]:
    traffic = {"requests_per_s": 512.5, "errors_per_s": 0.0, "in_flight": 3}
    quantiles = {"p50_ms": 4.0, "p99_ms": None}
    pod = {"pod": "hello-5dc87d548-gcjcc", "version": "5", "cpu_cores": 0.25}
    service = {"service": "hello", "port": 80}
    return {
        "namespace": namespace,
        "memory_bytes": 20 << 20,
        **traffic,
        **quantiles,
        **pod,
        **service,
    }


def shown(*rows: dict[str, Any], width: int) -> str:
    console = Console(file=StringIO(), width=width)
    with console.capture() as capture:
        console.print(view({"services": rows, "pods": rows}, narrow=width < 100))
    return capture.get()


def test_80_columns_hold_names_headers_and_numbers() -> None:
    text = shown(row(), width=80)
    assert "…" not in text
    assert "hello-5dc87d548-gcjcc" in text
    assert "default/" not in text
    assert all(word in text for word in ("VERSION", "MEMORY", "REQ/S", "FLIGHT", "P99", "250m"))


def test_a_namespace_is_told_where_there_are_several_or_there_is_room() -> None:
    assert "shop/hello:80" in shown(row(), row("shop"), width=80)
    assert "default/hello-5dc87d548-gcjcc" in shown(row(), width=120)
    assert "IN FLIGHT" in shown(row(), width=120)
