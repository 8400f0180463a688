"""What the path of an Ingress rule matches, and what it is rewritten to; pure.

With ``rewrite-target`` or ``use-regex`` a path may be a regular expression, as in ingress-nginx.
Requests are routed by whole path elements all the same, so such a path is two things: the
literal beginning, by which its requests are found, and the expression, which they must match::

    /shop(/|$)(.*)      found by /shop       /shop/a/b → $2 = a/b
    /v(\\d+)/items(.*)   found by /           /v2/items/7 → $1 = 2, $2 = /7

Accepted is what can't take long to match: no repeated group, no look-around, no back reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nodrop.model.ingressoptions import IngressOptions, read_options
from nodrop.model.meta import Obj

_SPECIAL = frozenset("()[]{}.*+?|^$\\")
_ALLOWED = re.compile(r"(?:[A-Za-z0-9/_~%@:,!&=;'.*+?|()$\[\]^-]|\\[dw.-])*")
_NESTED_CLASS = re.compile(r"\[[^]]*\[")
_REPEATED_GROUP = re.compile(r"\)[*+]")
_MOST_REPEATS = 4
#: A request's head has 15 KB; what a proxy is told of a route must fit one of its commands.
_LONGEST = 2_000


class BadPath(ValueError):
    """A path that can't be served; the message says why and what can be."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Requests whose path matches ``pattern`` (from its beginning) go on with ``target``.

    ``target`` refers to groups as ``\\1``; empty: the path stays.
    """

    pattern: str
    target: str


@dataclass(frozen=True, slots=True)
class RulePath:
    """``prefix`` is compared by whole elements, or whole when ``exact``."""

    prefix: str
    exact: bool
    rewrite: Rewrite | None = None


def read_path(text: str, path_type: str, options: IngressOptions) -> RulePath:
    """What a rule's path means. Raises BadPath for an expression that can't be served."""
    text = text or "/"
    if len(text) > _LONGEST:
        raise BadPath(f"must have at most {_LONGEST} letters")
    exact = path_type == "Exact"
    plain = text if exact else text.rstrip("/") or "/"
    if not options.rewrite_target and not options.use_regex:
        return RulePath(plain, exact)
    if exact or not _SPECIAL & set(text):
        pattern = re.sub(r"([.*+?|()\[\]{}^$\\])", r"\\\1", text if exact else plain)
        return RulePath(plain, exact, _rewrite(pattern, options.rewrite_target))
    _check_expression(text)
    return RulePath(_literal_prefix(text), False, _rewrite(text, options.rewrite_target))


def ingress_remarks(ingress: Obj) -> list[str]:
    """What an Ingress asks for by annotations and paths, and does not get."""
    options = read_options(ingress)
    found = [str(problem) for problem in options.problems]
    for number, rule in enumerate((ingress.get("spec") or {}).get("rules") or ()):
        for index, entry in enumerate((rule.get("http") or {}).get("paths") or ()):
            try:
                read_path(entry.get("path") or "/", entry.get("pathType") or "", options)
            except BadPath as wrong:
                at = f"spec.rules[{number}].http.paths[{index}].path"
                found.append(f'{at}: Invalid value: "{entry.get("path")}": {wrong}')
    return found


def _rewrite(pattern: str, target: str) -> Rewrite | None:
    groups = re.compile(pattern).groups
    for number in map(int, re.findall(r"\$(\d)", target)):
        if not 1 <= number <= groups:
            raise BadPath(f"the rewrite target refers to ${number}, the path has {groups} groups")
    if not target and pattern == "/":
        return None
    return Rewrite(pattern.removeprefix("^"), target.replace("$", "\\"))


def _check_expression(text: str) -> None:
    if not _ALLOWED.fullmatch(text) or "(?" in text or _NESTED_CLASS.search(text):
        raise BadPath("must be a simple regular expression: groups, classes, . * + ? | and no more")
    if _REPEATED_GROUP.search(text) or len(re.findall(r"[*+]", text)) > _MOST_REPEATS:
        raise BadPath(f"must not repeat a group, and repeat at most {_MOST_REPEATS} times")
    try:
        re.compile(text)
    except re.error as error:
        raise BadPath(f"must be a regular expression: {error}") from None
    if _has_outer_alternative(text):
        raise BadPath("must have alternatives (|) inside of a group only")


def _has_outer_alternative(text: str) -> bool:
    depth = 0
    for letter in re.sub(r"\\.|\[[^]]*\]", "", text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "|" and depth == 0:
            return True
    return False


#: What may follow a literal beginning so that it ends with a whole path element.
_ENDS_ELEMENT = ("(/", "/", "$", "(.*)", ".*")


def _literal_prefix(text: str) -> str:
    body = text.removeprefix("^")
    length = next((at for at, letter in enumerate(body) if letter in _SPECIAL), len(body))
    literal, rest = body[:length], body[length:]
    if rest[:1] in ("*", "+", "?", "{"):  # the last letter is repeated, or need not be there
        literal, rest = literal[:-1], literal[-1:] + rest
    if not literal.endswith("/") and not rest.startswith(_ENDS_ELEMENT):
        literal = literal[: literal.rfind("/") + 1]
    return literal.rstrip("/") or "/"
