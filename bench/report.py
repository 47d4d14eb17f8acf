"""The report of a bench: a table of all calls, a plot of each, and the comparison of two trees."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.calls import CALLS

BARE_THEN = 0.61  # ms of the bare view when the reference's figures were measured
MAY_GROW = 1.4  # of a call's cost in bare views before a check fails
REFERENCES = {call.name: call.reference for call in CALLS}
Sizes = Mapping[int, Mapping[str, Mapping[str, Any]]]


def goal(name: str) -> float | None:
    """Return half of the reference's cost in bare views."""
    reference = REFERENCES.get(name)
    return sum(reference) / 2 / BARE_THEN if reference else None


def write(folder: Path, trees: Mapping[str, Sizes]) -> Path:
    """Write `report.md`, `figures.json` and a plot per call; return the report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(trees, indent=1))
    lines = ["# What each call costs", ""]
    for tree, sizes in trees.items():
        lines += [f"## {tree}", "", *_table(sizes), ""]
    if len(trees) > 1:
        lines += ["## Side by side, in bare views", "", *_beside(trees), ""]
    lines += ["## Plots", ""]
    for name in next(iter(next(iter(trees.values())).values())):
        if name != "bare":
            picture = folder / f"{name}.svg"
            picture.write_text(plot(name, {tree: _series(sizes, name) for tree, sizes in trees.items()}))
            lines.append(f"![{name}]({picture.name})")
    report = folder / "report.md"
    report.write_text("\n".join(lines) + "\n")
    return report


def _table(sizes: Sizes) -> list[str]:
    smallest, largest = min(sizes), max(sizes)
    rows = [
        f"At {largest:,} tasks; growth is the cost there divided by that at {smallest:,}. Costs are ms of "
        "CPU per request, web processes + PostgreSQL; a bare view is a Django view with one statement.",
        "",
        "| call | statements | ms | bare views | goal | p50 ms | p95 ms | growth |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in sizes[largest].items():
        aim, grown = goal(name), found["bare_views"] / sizes[smallest][name]["bare_views"]
        rows.append(
            f"| {name} | {found['statements']} | {found['app']:.2f}+{found['postgres']:.2f} "
            f"| {found['bare_views']:.2f} | {'' if aim is None else f'{aim:.2f}'} "
            f"| {found['p50']:.1f} | {found['p95']:.1f} | {grown:.2f} |"
        )
    return rows


def _beside(trees: Mapping[str, Sizes]) -> list[str]:
    rows = [f"| call | {' | '.join(trees)} | ratio |", "|---|" + "---|" * (len(trees) + 1)]
    largest = min(max(sizes) for sizes in trees.values())
    for name in trees[next(iter(trees))][largest]:
        costs = [sizes[largest][name]["bare_views"] for sizes in trees.values() if name in sizes[largest]]
        told = " | ".join(f"{cost:.2f}" for cost in costs)
        rows.append(f"| {name} | {told} | {costs[-1] / costs[0]:.2f} |")
    return rows


def _series(sizes: Sizes, name: str) -> dict[str, list[tuple[int, float]]]:
    return {
        "CPU ms": [
            (size, found[name]["app"] + found[name]["postgres"]) for size, found in sorted(sizes.items())
        ],
        "p95 ms": [(size, found[name]["p95"]) for size, found in sorted(sizes.items())],
    }


WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 220, 48, 36, 28
COLOURS = ("#1f6f8b", "#b5540a", "#5b7f2b", "#7a4fa3")


def plot(name: str, trees: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> str:
    """Draw cost and 95th percentile against the number of tasks, which is on a logarithmic axis."""
    lines = {
        f"{label}, {tree}" if len(trees) > 1 else label: points
        for tree, series in trees.items()
        for label, points in series.items()
    }
    numbers = [size for points in lines.values() for size, _ms in points]
    low, high = math.log10(min(numbers)), math.log10(max(numbers))
    top = max(ms for points in lines.values() for _size, ms in points) * 1.1

    def x(size: int) -> float:
        share = (math.log10(size) - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - 24)

    def y(ms: float) -> float:
        return HEIGHT - BOTTOM - ms / top * (HEIGHT - BOTTOM - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 16 * len(lines)}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT + 16 * len(lines)}" fill="#fff"/>',
        f'<text x="{LEFT}" y="16" font-size="13" font-weight="600">{name}</text>',
    ]
    for share in (0, 0.5, 1):
        height = y(top * share / 1.1)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 16}" y1="{height:.1f}" y2="{height:.1f}" stroke="#ddd"/>'
        )
        parts.append(
            f'<text x="{LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{top * share / 1.1:.1f}</text>'
        )
    for size in sorted(set(numbers)):
        parts.append(f'<text x="{x(size):.1f}" y="{HEIGHT - 18}" text-anchor="middle">{size:,}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 3}" text-anchor="middle">tasks</text>')
    for number, (label, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(size):.1f},{y(ms):.1f}" for size, ms in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x(size):.1f}" cy="{y(ms):.1f}" r="3" fill="{colour}"/>' for size, ms in points
        ]
        below = HEIGHT + 11 + 16 * number
        parts.append(f'<rect x="{LEFT}" y="{below - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 16}" y="{below}">{label}</text>')
    return "\n".join([*parts, "</svg>"])


def worse(found: Mapping[str, Mapping[str, Any]], kept: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say which calls take more statements than in `kept`, or 40 % more bare views."""
    said = []
    for name, before in kept.items():
        now = found[name]
        if now["statements"] > before["statements"]:
            said.append(f"{name}: {now['statements']} statements, {before['statements']} before")
        if now["bare_views"] > before["bare_views"] * MAY_GROW:
            said.append(f"{name}: {now['bare_views']:.2f} bare views, {before['bare_views']:.2f} before")
    return said
