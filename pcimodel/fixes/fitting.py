"""Whether a class is a fix of a tree: it changes at least one function, each as it is called.

A method under a wrong name, or with another signature, would be silently dead, or break the kernel
far from the mistake.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from functools import partialmethod
from types import CodeType, FunctionType
from typing import Any

from ..kernel import Kernel


def functions_of(fix: type) -> set[str]:
    """Return the names of the functions that *fix* overrides or adds, those of fixes below it
    included.
    """
    return {name for name, value in _members(fix).items() if _is_function(value)}


def misfit(fix: Any, tree: type[Kernel]) -> str:
    """Say why *fix* does not fit *tree*, in one line; "" if it does.

    A function that the tree does not have is a helper if a function that the kernel calls leads to
    it, by whatever name it is called there. If none does nobody ever calls it: it is misspelt, or
    the tree is another one than it was written for.
    """
    if not isinstance(fix, type):
        return f"it is {fix!r}, not a class"
    if issubclass(fix, Kernel):
        return "it is a whole kernel: a fix inherits from none, or from the mixin that it changes"
    members = _members(fix)
    overridden = [name for name in members if hasattr(tree, name)]
    for name in overridden:
        why = _other_kind(name, members[name], inspect.getattr_static(tree, name), tree)
        if why:
            return why
    overridden = [name for name in overridden if _is_function(members[name])]
    called: set[str] = set()
    for cls in fix.__mro__:    # what a fix inherits may have been of use there alone
        called |= _reached(_defined(cls), [name for name in _defined(cls)
                                           if name in overridden or _is_protocol(name)])
    for name in sorted(functions_of(fix) - called):
        near = _nearest(fix, name, tree)
        if near or overridden:
            return f"{tree.name} has no function {_shown(fix, name)}(), and nothing in the fix " \
                   f"calls it{near}"
    if not overridden:
        return f"it overrides no function of {tree.name}"
    return ""


def _defined(fix: type) -> dict[str, Any]:
    """Return what *fix* defines, and classes below it that are not the kernel's."""
    classes = [cls for cls in fix.__mro__ if not issubclass(Kernel, cls)]
    return {name: value for cls in reversed(classes) for name, value in vars(cls).items()}


def _members(fix: type) -> dict[str, Any]:
    """Return what *fix* defines under names of its own choice."""
    return {name: value for name, value in _defined(fix).items() if not _is_protocol(name)}


def _is_protocol(name: str) -> bool:
    """Tell whether Python calls it by itself."""
    return name.startswith("__") and name.endswith("__")


def _is_function(value: Any) -> bool:
    """Tell whether it is code, not data."""
    return callable(value) or isinstance(value, (staticmethod, classmethod, property,
                                                 partialmethod))


def _other_kind(name: str, mine: Any, theirs: Any, tree: type[Kernel]) -> str:
    """Say in what *mine* differs from the function *theirs* for those who call it; "" if in
    nothing.
    """
    if not _is_function(theirs):
        return ""    # data: a fix may have other
    kinds = _kind(mine), _kind(theirs)
    guard = "Guard" in str(getattr(theirs, "__annotations__", {}).get("return"))
    if kinds[0] != kinds[1] and not (guard and kinds[0].startswith("a generator under")):
        return f"{name} is {kinds[0]}, and in {tree.name} it is {kinds[1]}"
    try:
        given, asked = _signature(mine), _signature(theirs)
    except (TypeError, ValueError):
        return ""    # of a callable that does not tell
    if not _takes(given, asked):
        return f"{name}{given} has another signature than in {tree.name}: {name}{asked}"
    return ""


def _kind(value: Any) -> str:
    """Return what *value* is for those who call it."""
    for kind in (staticmethod, classmethod, property):
        if isinstance(value, kind):
            return f"a {kind.__name__}"
    if isinstance(value, partialmethod):
        return "a function"
    if not callable(value):
        return f"{value!r}"
    if isinstance(value, type):
        return "a class"
    function = inspect.unwrap(value)
    wrapped = " under a decorator" if function is not value else ""
    if inspect.isasyncgenfunction(function):
        return f"an asynchronous generator{wrapped}"
    if inspect.iscoroutinefunction(function):
        return f"a coroutine{wrapped}"
    if inspect.isgeneratorfunction(function):
        return f"a generator{wrapped}"
    return "a function"


def _signature(value: Any) -> inspect.Signature:
    """Return names, order and defaults of parameters, without annotations."""
    signature = inspect.signature(value)
    parameters = [each.replace(annotation=inspect.Parameter.empty)
                  for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)


def _takes(given: inspect.Signature, asked: inspect.Signature) -> bool:
    """Say whether every call that fits *asked* fits *given* and means the same.

    The kernel passes arguments by position: each of its parameters has its place, by whatever name
    (but for that of another one), optional where it was; more of its own have defaults; ``*args``
    takes the rest.
    """
    mine, theirs = list(given.parameters.values()), list(asked.parameters.values())
    by_position = [each for each in mine if each.kind in (each.POSITIONAL_ONLY,
                                                          each.POSITIONAL_OR_KEYWORD)]
    rest = any(each.kind is each.VAR_POSITIONAL for each in mine)
    if len(by_position) < len(theirs) and not rest:
        return False
    for has, wanted in zip(by_position, theirs, strict=False):
        if has.name != wanted.name and has.name in asked.parameters or (
                wanted.default is not wanted.empty and has.default is has.empty):
            return False
    more = [*by_position[len(theirs):], *(each for each in mine if each.kind is each.KEYWORD_ONLY)]
    return all(each.default is not each.empty for each in more)


def _reached(members: dict[str, Any], roots: list[str]) -> set[str]:
    """Return the names of *members* that the functions *roots* lead to, themselves included."""
    reached: set[str] = set()
    codes: set[CodeType] = set()
    todo = [(name, members[name]) for name in roots]
    while todo:
        name, value = todo.pop()
        reached.add(name)
        for function in _functions(value):
            for word in _words(function.__code__, codes):
                if word in members and word not in reached:
                    todo.append((word, members[word]))
                helper = function.__globals__.get(word)
                if getattr(helper, "__module__", None) == function.__module__:
                    todo.append(("", helper))
    return reached


def _functions(value: Any) -> Iterator[FunctionType]:
    """Yield the functions behind *value*: a function, what is around one, the methods of a class.
    """
    if isinstance(value, type):
        for member in vars(value).values():
            if not isinstance(member, type):
                yield from _functions(member)
        return
    inner: list[Any] = [value, getattr(value, "__wrapped__", None), getattr(value, "func", None)]
    if isinstance(value, (staticmethod, classmethod)):
        inner.append(value.__func__)
    if isinstance(value, property):
        inner += [value.fget, value.fset]
    yield from (each for each in inner if isinstance(each, FunctionType))


def _words(code: CodeType, seen: set[CodeType]) -> Iterator[str]:
    """Yield every name and every string in *code* and the code in it, once."""
    if code in seen:
        return
    seen.add(code)
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _words(constant, seen)
        elif isinstance(constant, str):
            yield constant


def _shown(fix: type, name: str) -> str:
    """Return *name* as it was written: Python mangles two leading underscores in a class."""
    for cls in fix.__mro__:
        prefix = f"_{cls.__name__.lstrip('_')}__"
        if name.startswith(prefix):
            return "__" + name.removeprefix(prefix)
    return name


def _nearest(fix: type, name: str, tree: type[Kernel]) -> str:
    """Return the question after the function of *tree* that *name* may mean, or ""."""
    known: list[str] = [each for each in dir(tree) if callable(getattr(tree, each))
                        and not each.startswith("__")]
    written = _shown(fix, name)
    near = [each for each in known if each.lstrip("_") == written.lstrip("_")] \
        or difflib.get_close_matches(written, known, 1)
    return f"; did you mean {near[0]}?" if near else ""
