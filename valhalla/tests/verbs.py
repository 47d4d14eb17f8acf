"""Finds every verb and every door by itself: what the tests of execution classes go through.

A *verb* acts for somebody at an instant: a public function with the parameters `by` and `at` in a module that
is neither a door nor one of those that only ask or compute, and everything that `@verb` was put on. A *door*
is a function of the modules that people, programs and the scheduler enter by, whose body names a verb, itself
or through functions that it calls.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

from governance.core.hooks import Hook
from governance.core.verbs import Execution

PACKAGES = ("governance", "followups", "buyers", "offers", "valhalla")
DOORS = frozenset({"admin", "api", "commands", "tasks", "views", "pages", "flows"})
# what asks, computes, plants or shows; the demo plays its story through verbs, as a door would
OTHERS = frozenset({"demo", "forms", "migrations", "querysets", "rules", "seeds", "tests", "wording"})


@functools.cache
def modules() -> tuple[ModuleType, ...]:
    """Every module of the product, tests and migrations left out."""
    found = []
    for name in PACKAGES:
        package = importlib.import_module(name)
        for entry in pkgutil.walk_packages(package.__path__, f"{name}."):
            # wsgi begins a web process: it asks the database whose key it is
            if not {"tests", "migrations", "wsgi"} & set(entry.name.split(".")):
                found.append(importlib.import_module(entry.name))
    return tuple(found)


def _is(module: ModuleType, kinds: frozenset[str]) -> bool:
    return bool(kinds & set(module.__name__.split(".")[1:]))


def name_of(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """The functions and methods that a module defines."""
    for thing in vars(module).values():
        if getattr(thing, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield thing
        elif inspect.isclass(thing):
            for method in vars(thing).values():
                plain = method.fget if isinstance(method, property) else getattr(method, "__func__", method)
                if inspect.isfunction(plain) and inspect.unwrap(plain).__code__.co_filename != "<string>":
                    yield plain  # what dataclasses write themselves has no source
        elif inspect.isfunction(getattr(thing, "__wrapped__", None)):  # a view or a job
            yield thing.__wrapped__


def execution_of(function: object) -> Execution | None:
    """Return the class that `@verb` gave a function."""
    found: Execution | None = getattr(function, "execution", None)
    return found


def verbs() -> dict[str, FunctionType]:
    """Every function that acts for somebody at an instant, or that `@verb` was put on, by its name."""
    found = {}
    for module in modules():
        if _is(module, DOORS | OTHERS):
            continue
        for function in functions_of(module):
            if "." in function.__qualname__:
                continue  # methods of values; a verb is a function
            asked = {"by", "at"} <= set(inspect.signature(function).parameters)
            if execution_of(function) or (asked and not function.__name__.startswith("_")):
                found[name_of(function)] = function
    return found


@functools.cache
def named_in(function: FunctionType) -> tuple[FunctionType, ...]:
    """The functions of the product that a function's body names, as `name` or `module.name`."""
    plain = inspect.unwrap(function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(plain)))
    known = plain.__globals__
    found: dict[str, FunctionType] = {}
    local: dict[str, object] = {}
    for node in ast.walk(tree):  # what is imported inside the body
        if isinstance(node, ast.ImportFrom) and node.module:
            source = importlib.import_module(node.module)
            local |= {alias.asname or alias.name: getattr(source, alias.name, None) for alias in node.names}
    read = {  # a verb whose right is read is not called
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "right"
    }
    for node in ast.walk(tree):
        thing: object = None
        if id(node) in read:
            continue
        if isinstance(node, ast.Name):
            thing = local.get(node.id) or known.get(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            base = local.get(node.value.id) or known.get(node.value.id)
            thing = getattr(base, node.attr, None) if isinstance(base, ModuleType) else None
            if isinstance(thing, Hook):
                answerers = [answerer for answerer in thing._answerers if inspect.isfunction(answerer)]
                found |= {name_of(answerer): answerer for answerer in answerers}
        if inspect.isfunction(thing) and thing.__module__.split(".")[0] in PACKAGES and thing is not function:
            found[name_of(thing)] = thing
    return tuple(found.values())


def reached_from(function: FunctionType) -> dict[str, FunctionType]:
    """Everything of the product that a function names, and that those name, and so on."""
    found: dict[str, FunctionType] = {}
    waiting = [function]
    while waiting:
        for other in named_in(waiting.pop()):
            if name_of(other) not in found:
                found[name_of(other)] = other
                waiting.append(other)
    return found


def of_class(*classes: Execution) -> dict[str, FunctionType]:
    """The verbs of these classes."""
    return {name: function for name, function in verbs().items() if execution_of(function) in classes}


def door_functions() -> Iterator[FunctionType]:
    """Every function that people, programs and the scheduler enter by."""
    for module in modules():
        if _is(module, DOORS) and not _is(module, OTHERS):
            yield from functions_of(module)


def doors_to(*classes: Execution) -> dict[str, set[Execution]]:
    """The doors by name from which verbs of these classes are reached, with the classes reached."""
    found = {}
    for function in door_functions():
        others = [execution_of(other) for other in reached_from(function).values()]
        if reached := set(classes).intersection(others):
            found[name_of(function)] = reached
    return found
