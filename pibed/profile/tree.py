"""A profile as a tree: which functions were executed, and by which calls they were reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pibed.profile.binary import Function
from pibed.profile.raw import Frame, Raw, Site

EXCEPTIONS: Mapping[int, str] = {
    0xFFFF0000: "[reset]",
    0xFFFF0004: "[undefined instruction]",
    0xFFFF0008: "[system call]",
    0xFFFF000C: "[prefetch abort]",
    0xFFFF0010: "[data abort]",
    0xFFFF0018: "[interrupt]",
    0xFFFF001C: "[fast interrupt]",
}
"""By the address of the vector (CONFIG_VECTORS_BASE)."""

TOO_DEEP = Function("all", "[more call paths than are told apart]")

Events = tuple[int, ...]


@dataclass
class Node:
    """A function in a chain of calls: what happened in it there, and what it called."""

    function: Function
    own: list[int]
    """Of each event, without what it called."""
    callees: dict[Function, Node] = field(default_factory=dict)

    def callee(self, function: Function) -> Node:
        """That function as called from here."""
        node = self.callees.get(function)
        if node is None:
            node = self.callees[function] = Node(function, [0] * len(self.own))
        return node

    def add(self, events: Events) -> None:
        """Counts what happened in the function itself."""
        for at, number in enumerate(events):
            self.own[at] += number

    @property
    def sorted_callees(self) -> list[Node]:
        """By binary and name."""
        return sorted(self.callees.values(), key=lambda each: each.function)

    def walk(self, above: tuple[Function, ...] = ()) -> Iterator[tuple[tuple[Function, ...], Node]]:
        """This node and all below it, each with the functions that lead to it, sorted."""
        left = [(above, self)]
        while left:
            path, node = left.pop()
            yield path, node
            under = (*path, node.function)
            left += [(under, each) for each in reversed(node.sorted_callees)]

    def totals(self) -> dict[int, Events]:
        """What happened in each node and below it, by the node's `id`."""
        found: dict[int, list[int]] = {}
        nodes = [node for _, node in self.walk()]
        for node in reversed(nodes):
            total = list(node.own)
            for each in node.callees.values():
                for at, number in enumerate(found[id(each)]):
                    total[at] += number
            found[id(node)] = total
        return {key: tuple(each) for key, each in found.items()}


@dataclass(frozen=True)
class Row:
    """A function with all that happened in it."""

    function: Function
    own: Events
    total: Events
    """With what it called; of what called itself once."""


@dataclass(frozen=True)
class Profile:
    """What one command did, by functions."""

    title: str
    events: tuple[str, ...]
    root: Node

    @property
    def total(self) -> Events:
        """How often each event happened at all."""
        return self.root.totals()[id(self.root)]

    def rows(self) -> list[Row]:
        """The functions, that with most of the last event's sum first."""
        own: dict[Function, list[int]] = {}
        total: dict[Function, list[int]] = {}
        totals = self.root.totals()
        for path, node in self.root.walk():
            if node is self.root:
                continue
            mine = own.setdefault(node.function, [0] * len(self.events))
            all_ = total.setdefault(node.function, [0] * len(self.events))
            for at, number in enumerate(node.own):
                mine[at] += number
            if node.function not in path:
                for at, number in enumerate(totals[id(node)]):
                    all_[at] += number
        return [
            Row(function, tuple(mine), tuple(total[function])) for function, mine in own.items()
        ]


def grow(raw: Raw, functions: Mapping[int, Function], title: str, count: int) -> Profile:
    """The tree of a profile with the first `count` of its events.

    In a frame whose function has jumped to another, that one stands beside it: it returns to the
    same caller. What is above all callers that are known is the program.
    """
    root = Node(Function("all", "all"), [0] * count)
    sites: dict[int, Node] = {}
    for number in sorted(raw.sites, key=lambda each: _depth(raw, raw.sites[each])):
        site = raw.sites[number]
        function = functions[site.code]
        above = _node_of(raw.frames.get(site.frame), sites, root)
        if above is root:
            above = root.callee(Function(function.binary, f"[{function.binary}]"))
        node = sites[number] = above.callee(function)
        node.add(site.events[:count])
    if any(raw.beyond[:count]):
        root.callee(TOO_DEEP).add(raw.beyond[:count])
    return Profile(title, raw.events[:count], root)


def _node_of(frame: Frame | None, sites: Mapping[int, Node], root: Node) -> Node:
    """Below which node what is in a frame stands."""
    if frame is None:
        return root
    caller = sites[frame.caller]
    if not frame.is_exception:
        return caller
    name = EXCEPTIONS.get(frame.entry, f"[exception {frame.entry:#x}]")
    return caller.callee(Function("kernel", name))


def _depth(raw: Raw, site: Site) -> int:
    depth = 0
    while (frame := raw.frames.get(site.frame)) is not None:
        site = raw.sites[frame.caller]
        depth += 1
    return depth
