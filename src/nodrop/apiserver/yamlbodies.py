"""YAML bodies: read into what JSON could hold, within bounds, and looked at for doubled keys."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nodrop.model.errors import bad_request

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node

#: What a document may grow to when its aliases are written out: far above any body without them
#: (3 MiB of ``[,,,``), and small enough to be copied. Without a bound, 400 bytes become gigabytes.
_MOST_NODES = 4_000_000
#: What counts as a node of its own in a long text: aliases multiply that as well.
_CHARS_A_NODE = 16
#: Doubled keys that are told, and what of one is shown.
_MOST_DOUBLED, _SHOWN_CHARS = 100, 1_000
_TYPES = ("null", "bool", "int", "float", "str", "seq", "map")


def read_yaml(body: bytes) -> Any:
    """The one document of ``body``. Raises 400 for what is no YAML, or grows without bound."""
    # Imported here: kubectl sends JSON, and PyYAML is memory that an idle engine can do without.
    import yaml

    try:
        loader = _plain_loader()(body)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _size(node, {}) > _MOST_NODES:
                raise bad_request("yaml: document contains excessive aliasing")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except KeyError as error:  # of PyYAML's table of truths
        raise bad_request(f"the body is not YAML: {error} is no boolean") from error
    except (yaml.YAMLError, ValueError) as error:
        raise bad_request(f"the body is not YAML: {error}") from error


def doubled_keys(body: bytes) -> list[str]:
    """``line 7: key "replicas" already set in map`` for each key that stands again, as Go says it.

    ``body`` was read before; what can't be read has none.
    """
    import yaml

    try:
        node = yaml.compose(body, _plain_loader())
    except (yaml.YAMLError, ValueError):
        return []
    return [] if node is None else list(itertools.islice(_doubled(node, set()), _MOST_DOUBLED))


# Private


def _size(node: Node, sizes: dict[int, int]) -> int:
    """How many nodes ``node`` is with its aliases written out; one that holds itself is endless."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    sizes[id(node)] = _MOST_NODES + 1  # until it is known: met again inside of itself
    text_chars = len(node.value) if isinstance(node.value, str) else 0
    total = 1 + text_chars // _CHARS_A_NODE
    total += sum(_size(inner, sizes) for inner in _inside(node))
    sizes[id(node)] = total
    return total


def _doubled(node: Node, seen: set[int]) -> Iterator[str]:
    import yaml

    if id(node) in seen:  # an alias: told where it stands first
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield from _met_again(node)
    for inner in _inside(node):
        yield from _doubled(inner, seen)


def _met_again(node: MappingNode) -> Iterator[str]:
    keys: set[tuple[str, str]] = set()
    for key, value in node.value:
        if isinstance(key.value, str) and not key.tag.endswith(":merge"):
            name = (key.tag, key.value)
            if name in keys:
                line = value.start_mark.line + 1
                yield f"line {line}: key {_spelled(key)} already set in map"
            keys.add(name)


def _inside(node: Node) -> Iterator[Node]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _spelled(key: Node) -> str:
    shown = str(key.value)[:_SHOWN_CHARS]
    return json.dumps(shown) if key.tag.endswith(":str") else shown


@functools.cache
def _plain_loader() -> Any:
    """PyYAML's safe loader for what JSON has: keys are text, times stay text, no other types.

    Nodes are put together in Python: libyaml's binding does it without any bound to the depth, and
    100,000 dashes ended the process.
    """
    import yaml
    from yaml.composer import Composer

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class PlainLoader(Composer, base):  # type: ignore[misc]
        def __init__(self, stream: bytes) -> None:
            base.__init__(self, stream)
            Composer.__init__(self)

        def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[str, Any]:
            found = base.construct_mapping(self, node, deep=deep)
            return {_name(key): value for key, value in found.items()}

    PlainLoader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
        for first, known in base.yaml_implicit_resolvers.items()
    }
    PlainLoader.yaml_constructors = {
        tag: construct
        for tag, construct in base.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in _TYPES
    }
    return PlainLoader


def _name(key: object) -> str:
    """A key as text, as Kubernetes makes it. Raises ValueError for what can't be one."""
    match key:
        case str():
            return key
        case bool():
            return "true" if key else "false"
        case int() | float():
            return str(key)
    raise ValueError(f"unsupported map key: {key!r}")
