"""``Warning`` headers: what a write has to say besides its answer, within what clients read.

A field's name comes from the client and stands in them, so they hold no control characters, and
together no more than upstream's recorder lets through (k8s.io/apiserver/pkg/warning).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

#: Characters of all warnings together before each is cut to as many.
_MOST_CHARS, _CUT_CHARS = 4096, 256
#: Python's own HTTP client, and those built on it, take no answer of more than 100 headers.
_MOST_HEADERS = 64


def warning_headers(warnings: Iterable[str]) -> Iterator[str]:
    """A header's value for each warning, once."""
    texts = list(dict.fromkeys(warnings))
    if sum(map(len, texts)) > _MOST_CHARS:
        texts = [text[:_CUT_CHARS] for text in texts]
    told_chars = 0
    for text in texts[:_MOST_HEADERS]:
        if told_chars >= _MOST_CHARS:
            return
        told_chars += len(text)
        yield f'299 - "{"".join(map(_quoted, text))}"'


# Private


def _quoted(letter: str) -> str:
    if unicodedata.category(letter) in ("Cc", "Cs"):  # neither goes into a header
        return " "
    return f"\\{letter}" if letter in '\\"' else letter
