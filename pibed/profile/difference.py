"""Two profiles in one tree, so that what they differ in is seen function by function."""

from __future__ import annotations

from pibed.profile.tree import Node, Profile


def beside(first: Profile, second: Profile, title: str) -> Profile:
    """A profile whose events are those of the first and, behind them, those of the second.

    Both have the same events, and functions of the same images.
    """
    count = len(first.events)
    root = Node(first.root.function, [0] * 2 * count)
    for profile, zeros_before in ((first, 0), (second, count)):
        nodes = {id(profile.root): root}
        for _, node in profile.root.walk():
            own = nodes[id(node)]
            for at, number in enumerate(node.own):
                own.own[zeros_before + at] += number
            for each in node.callees.values():
                nodes[id(each)] = own.callee(each.function)
    return Profile(title, (*first.events, *second.events), root)
