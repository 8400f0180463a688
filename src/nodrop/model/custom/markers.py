"""The words of structural schemas that are Kubernetes' own, and their patterns."""

from __future__ import annotations

import functools
import re

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"


@functools.lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of a schema. Raises re.error for one that Python can't read."""
    return re.compile(pattern)
