"""The rooms of the house and the arrows between them: `python -m tests.architecture.graph`.

A room is a package one step below demoire, pipelines or flows, or a module that stands there alone.
An arrow goes from a room to one that it imports. Printed as a Mermaid flowchart, with how many
rooms, floors, arrows and circles there are; a floor is how many arrows stand below a room at most.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Set
from functools import cache

from tests.architecture.source import PACKAGES, Module, modules

Arrows = Mapping[str, Set[str]]


def room_of(name: str) -> str:
    """The room that a dotted name lies in: its first two parts."""
    return ".".join(name.split(".")[:2])


def arrows_between_modules(*packages: str) -> dict[str, set[str]]:
    """Which modules of the house each module imports."""
    everything = {module.name: module for module in modules()}
    inside = [module for module in everything.values() if _is_in(module, packages)]
    arrows: dict[str, set[str]] = {}
    for module in inside:
        targets = {_defining_module(name, everything) for name in module.imports}
        arrows[module.name] = {name for name in targets if name not in ("", module.name)}
    return arrows


def arrows_between_rooms(*packages: str) -> dict[str, set[str]]:
    """Which rooms each room imports from."""
    arrows: dict[str, set[str]] = defaultdict(set)
    for name, targets in arrows_between_modules(*packages).items():
        room = room_of(name)
        arrows[room] |= {room_of(target) for target in targets} - {room}
    return dict(arrows)


def circles(arrows: Arrows) -> list[tuple[str, ...]]:
    """Groups of two and more that reach each other, each sorted."""
    reach = {name: reachable_from(name, arrows) for name in arrows}
    groups = set()
    for name in arrows:
        together = {other for other in reach[name] if name in reach.get(other, set())}
        if together:
            groups.add(tuple(sorted(together | {name})))
    return sorted(group for group in groups if len(group) > 1)


def floors(arrows: Arrows) -> dict[str, int]:
    """On which floor each stands: 0 imports nothing. Only for arrows without a circle."""

    @cache
    def floor(name: str) -> int:
        return max((1 + floor(target) for target in arrows.get(name, ())), default=0)

    return {name: floor(name) for name in arrows}


def reachable_from(start: str, arrows: Arrows) -> set[str]:
    """All that `start` has an arrow to, and what these have arrows to, and so on."""
    reached: set[str] = set()
    waiting = list(arrows[start])
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += arrows.get(name, ())
    return reached


def _is_in(module: Module, packages: tuple[str, ...]) -> bool:
    return module.name.partition(".")[0] in (packages or PACKAGES)


def _defining_module(name: str, everything: Mapping[str, Module]) -> str:
    """The module that an imported name lives in; empty where it is not of the house."""
    while name and name not in everything:
        name = name.rpartition(".")[0]
    return name


def main() -> None:
    """Print the flowchart and its figures for each package that is named, or for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", choices=[[], *PACKAGES])
    named = parser.parse_args().packages
    arrows = arrows_between_rooms(*named)
    print("flowchart TD")
    for room in sorted(arrows):
        for target in sorted(arrows[room]):
            print(f"    {room} --> {target}")
    for package in named or PACKAGES:
        inside = {
            room: {target for target in targets if target.startswith(package)}
            for room, targets in arrows.items()
            if room.startswith(package)
        }
        in_circles = circles(inside)
        floor_count = "no" if in_circles else max(floors(inside).values()) + 1
        arrow_count = sum(len(targets) for targets in inside.values())
        print(
            f"%% {package}: {len(inside)} rooms, {floor_count} floors, {arrow_count} arrows, "
            f"{len(in_circles)} circles of rooms, "
            f"{len(circles(arrows_between_modules(package)))} circles of modules"
        )


if __name__ == "__main__":
    main()
