"""Patterns of custom kinds, matched in time that grows with the value only. Pure.

Whoever may create a CustomResourceDefinition writes its patterns, and Python's own engine tries
some of them for years: ``(a+)+$`` against thirty letters would stop the control plane. Upstream's
(RE2) never goes back. Neither does this: it follows all ways through a pattern at once, letter by
letter, and remembers what a letter leads to (a lazy DFA). Python's parser reads the pattern; what
RE2 has not (looking around, references to groups) is refused, so that a definition that is
taken here is taken by a cluster. ``$`` is the end, and ``\\d \\s \\w \\b`` are ASCII, as in RE2.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

# Python's own reading of a pattern: modules without promises; the tests say what we need of them.
from re import _constants as words  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

#: Steps that a pattern may have when its repeats are written out; RE2's own bound is as low.
MOST_STEPS = 2_000
#: How many steps the values of one object may have looked at: beyond, they are refused, after some
#: 0.3 s. What is remembered costs nothing, so ordinary patterns stay far below with any object.
_MOST_LOOKS = 300_000
_MOST_REMEMBERED = 2_000

_Takes = Callable[[str], bool]
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_DIGITS = frozenset("0123456789")
_SPACES = frozenset(" \t\n\r\f\v")
_MATCH: Final = -1


class TooCostly(Exception):
    """The values of an object are too long for their patterns."""


@dataclass(slots=True)
class Effort:
    """What is left for the values of one object, in steps looked at."""

    left: int = _MOST_LOOKS

    def spend(self, looks: int) -> None:
        """Raises TooCostly when nothing is left."""
        self.left -= looks
        if self.left < 0:
            raise TooCostly("the object's values take too long to be matched")


@dataclass(slots=True)
class _Step:
    """One letter to take, a place to be at, or a choice of ways; then on to the next."""

    next: tuple[int, ...] = ()
    takes: _Takes | None = None
    at: object = None


@dataclass(slots=True, eq=False)
class _State:
    """Where all ways through the pattern stand, and what the letter before was."""

    steps: frozenset[int]
    before: str | None  # None at the beginning, else "\n", "w" for a word's letter, or ""
    #: What letters lead to, as far as it was asked; None: the pattern has matched before it.
    to: dict[str, _State | None] = field(default_factory=dict)


@dataclass(slots=True)
class Pattern:
    """A pattern that was read. ``search`` is what RE2's MatchString is."""

    steps: list[_Step]
    first: int
    _states: dict[tuple[frozenset[int], str | None], _State] = field(default_factory=dict)
    _remembered: int = 0

    def search(self, text: str, effort: Effort) -> bool:
        """Whether any part of ``text`` matches. Raises TooCostly."""
        state: _State | None = self._state(frozenset({self.first}), None)
        for letter in text:
            assert state is not None
            if letter not in state.to:
                effort.spend(self._explore(state, letter))
            state = state.to[letter]
            if state is None:
                return True
        assert state is not None
        return _MATCH in self._reached(state, None)

    def _explore(self, state: _State, letter: str) -> int:
        """Find out what ``letter`` leads to; returns how many steps were looked at."""
        reached = self._reached(state, letter)
        after = None if _MATCH in reached else self._after(reached, letter)
        if self._remembered >= _MOST_REMEMBERED:
            self._forget()
        self._remembered += 1
        state.to[letter] = after
        return len(reached)

    def _forget(self) -> None:
        for state in self._states.values():
            state.to.clear()
        self._states.clear()
        self._remembered = 0

    def _after(self, reached: set[int], letter: str) -> _State:
        taken = {self.first}  # a match may begin anywhere
        for number in reached:
            step = self.steps[number]
            if step.takes is not None and step.takes(letter):
                taken.update(step.next)
        return self._state(frozenset(taken), _sort_of(letter))

    def _state(self, steps: frozenset[int], before: str | None) -> _State:
        return self._states.setdefault((steps, before), _State(steps, before))

    def _reached(self, state: _State, letter: str | None) -> set[int]:
        """The steps that can be reached before ``letter`` without taking one."""
        reached, waiting = set[int](), list(state.steps)
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            reached.add(number)
            if number == _MATCH:
                continue
            step = self.steps[number]
            if step.takes is None and (step.at is None or _is_at(step.at, state.before, letter)):
                waiting.extend(step.next)
        return reached


@functools.lru_cache(maxsize=512)
def compiled(pattern: str) -> Pattern:
    """Read a pattern. Raises re.error for one that RE2 would not take, or that is too large."""
    if "[[:" in pattern or "[^[:" in pattern:  # Python would read another set, and only warn
        raise re.error("sets such as [[:alpha:]] are not supported: write [a-zA-Z]")
    tree = parser.parse(pattern, re.ASCII)
    builder = _Builder([])
    first = builder.add_all(tree, tree.state.flags, _MATCH)
    return Pattern(builder.steps, first)


def mismatch(pattern: str, text: str, effort: Effort) -> str:
    """What is wrong with ``text``: empty, or a half-sentence that begins with "should" or "can't".

    A definition of an older state file may have a pattern that is not taken any more.
    """
    try:
        return "" if compiled(pattern).search(text, effort) else f"should match '{pattern}'"
    except (TooCostly, re.error, RecursionError, OverflowError) as error:
        return f"can't be matched with '{pattern}': {error}"


# Private


@dataclass(slots=True)
class _Builder:
    """Writes steps from the end of a pattern to its beginning."""

    steps: list[_Step]

    def add_all(self, tree: Iterable[Any], flags: int, after: int) -> int:
        for node in reversed(list(tree)):
            after = self.add(node, flags, after)
        return after

    def add(self, node: Any, flags: int, after: int) -> int:
        operation, value = node
        if operation is words.AT:
            multiline = bool(flags & re.MULTILINE)
            return self._step(_Step((after,), at=(value, multiline)))
        if operation is words.BRANCH:
            ways = tuple(self.add_all(way, flags, after) for way in value[1])
            return self._step(_Step(ways))
        if operation is words.SUBPATTERN:
            _, added, removed, inside = value
            return self.add_all(inside, (flags | added) & ~removed, after)
        if operation in (words.MAX_REPEAT, words.MIN_REPEAT):
            least, most, inner = value
            return self._repeat(least, most, inner, flags, after)
        return self._step(_Step((after,), takes=_takes(operation, value, flags)))

    def _repeat(self, least: int, most: int, inner: Any, flags: int, after: int) -> int:
        if most == words.MAXREPEAT:
            loop = self._step(_Step())
            self.steps[loop].next = (self.add_all(inner, flags, loop), after)
            at = loop
        else:
            at = after
            for _ in range(most - least):
                at = self._step(_Step((self.add_all(inner, flags, at), after)))
        for _ in range(least):
            at = self.add_all(inner, flags, at)
        return at

    def _step(self, step: _Step) -> int:
        if len(self.steps) >= MOST_STEPS:
            raise re.error(f"expression nests or repeats to more than {MOST_STEPS} steps")
        self.steps.append(step)
        return len(self.steps) - 1


def _takes(operation: Any, value: Any, flags: int) -> _Takes:
    """Which letters one place of a pattern takes."""
    if operation is words.ANY:
        return (lambda _: True) if flags & re.DOTALL else (lambda letter: letter != "\n")
    if operation is words.LITERAL:
        return _of_case(lambda letter: ord(letter) == value, flags)
    if operation is words.NOT_LITERAL:
        same = _of_case(lambda letter: ord(letter) == value, flags)
        return lambda letter: not same(letter)
    if operation is words.IN:
        negated = value[0][0] is words.NEGATE
        among = [_among(*one) for one in (value[1:] if negated else value)]
        found = _of_case(lambda letter: any(one(letter) for one in among), flags)
        return (lambda letter: not found(letter)) if negated else found
    raise re.error(f"{str(operation).lower().replace('_', ' ')} is not supported")


def _of_case(takes: _Takes, flags: int) -> _Takes:
    if not flags & re.IGNORECASE:
        return takes
    return lambda letter: takes(letter) or takes(_swapped(letter))


def _swapped(letter: str) -> str:
    swapped = letter.swapcase()
    return swapped if len(swapped) == 1 else letter


def _among(operation: Any, value: Any) -> _Takes:
    if operation is words.LITERAL:
        return lambda letter: ord(letter) == value
    if operation is words.RANGE:
        low, high = value
        return lambda letter: low <= ord(letter) <= high
    letters, negated = _CATEGORIES[value]
    return lambda letter: (letter in letters) is not negated


_CATEGORIES: dict[Any, tuple[frozenset[str], bool]] = {
    words.CATEGORY_DIGIT: (_DIGITS, False),
    words.CATEGORY_NOT_DIGIT: (_DIGITS, True),
    words.CATEGORY_SPACE: (_SPACES, False),
    words.CATEGORY_NOT_SPACE: (_SPACES, True),
    words.CATEGORY_WORD: (_WORD, False),
    words.CATEGORY_NOT_WORD: (_WORD, True),
}


def _sort_of(letter: str) -> str:
    if letter == "\n":
        return letter
    return "w" if letter in _WORD else ""


def _is_at(place: Any, before: str | None, letter: str | None) -> bool:
    where, multiline = place
    if where is words.AT_BEGINNING_STRING or (where is words.AT_BEGINNING and not multiline):
        return before is None
    if where is words.AT_END_STRING or (where is words.AT_END and not multiline):
        return letter is None
    if where is words.AT_BEGINNING:
        return before in (None, "\n")
    if where is words.AT_END:
        return letter in (None, "\n")
    boundary = (before == "w") is not (letter is not None and letter in _WORD)
    return boundary is (where is words.AT_BOUNDARY)
