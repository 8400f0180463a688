"""What holds for all tests: properties are judged by what is true, not by how fast a machine is."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("nodrop", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nodrop")
