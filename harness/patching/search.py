"""Who refers to some things, among all objects that the collector knows, and where they can be
replaced.

What only a running function has, or C code, is found by the count of references alone.
"""

from __future__ import annotations

import functools
import gc
import _frozen_importlib as import_system
import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from types import (BuiltinMethodType, ClassMethodDescriptorType, FrameType, FunctionType,
                   GenericAlias, GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType,
                   MethodType, ModuleType, WrapperDescriptorType)
from typing import Any, NamedTuple

from ..runtime.reach import is_of
from .places import Place, places_in
from .who_asks import is_of_tool, is_tool

_HERE = __name__.rpartition(".")[0]
_METHODS = (BuiltinMethodType, MethodType)
_OF_THREADS = ("_started", "_tstate_lock", "_handle")    # attributes that `threading` itself uses
_OF_CLASSES = (MethodDescriptorType, WrapperDescriptorType, GetSetDescriptorType,
               MemberDescriptorType, ClassMethodDescriptorType, GenericAlias)
_FEW = 100    # of so many things the collector itself finds faster who refers to them


class Ref(NamedTuple):
    """A reference: who has it; where it can be replaced (None: it cannot); what is there called, or
    why it cannot; and what it tells of tools (`Search._tells_tool`).
    """

    holder: Any
    place: Place | None
    name: str
    of_tool: str


class Search:
    """What refers to *wanted*, and to their bound methods; taken at one moment.

    Args:
        ours: collections that refer to them for whoever asks.

    Attributes:
        wanted: them, by identity.
        refs: by identity of each thing that is wanted, and of each bound method of one.
        methods: bound methods of things that are wanted, by identity.
        unknown: how many references there are, by identity, beside those that were found, and those
            of whoever asks: to be compared with that of a thing whose references are all known.
    """

    def __init__(self, wanted: Collection[Any], ours: Collection[Any] = ()) -> None:
        self._ours = {id(wanted), *map(id, ours)}
        self.refs: dict[int, list[Ref]] = {id(thing): [] for thing in wanted}
        self.methods: dict[int, Any] = {}
        self._objects = gc.get_objects()
        self.wanted = {id(thing): thing for thing in wanted}
        for each in self._objects:
            if type(each) in _METHODS and id(each.__self__) in self.wanted \
                    and not is_of(each.__self__, type):
                self.methods[id(each)] = each
                self.refs[id(each)] = []
        each = None
        self._look()
        del self._objects

    # -- passes over all objects --------------------------------------------------------------

    def _look(self) -> None:
        things = self.wanted | self.methods
        found = self._holders(things)
        self._counts = Counter([id(thing) for _, thing in found])
        boxes = {id(holder): holder for holder, _ in found if is_of(holder, dict, list, tuple, set)}
        found.clear()    # or they would count as one more; nothing else of this has them yet
        self.unknown = {id(thing): sys.getrefcount(thing) - self._counts[id(thing)]
                        for thing in things.values()}
        self._functions: dict[int, FunctionType] = {}
        for each in self._objects:
            if type(each) is FunctionType:
                self._functions |= {id(cell): each for cell in each.__closure__ or ()}
                if each.__defaults__:
                    self._functions[id(each.__defaults__)] = each
        self._modules = {id(vars(module)): module for module in list(sys.modules.values())
                         if is_of(module, ModuleType)}
        self._owners: dict[int, list[Any]] = {}
        self._classes: dict[int, type] = {}
        for owner, box in self._holders(boxes):
            self._owners.setdefault(id(box), []).append(owner)
            if is_of(owner, type) and gc.get_referents(vars(owner))[0] is box:
                self._classes[id(box)] = owner
        for holder, thing in self._holders(things):
            refs = self.refs[id(thing)]
            if all(ref.holder is not holder for ref in refs):
                refs += self._refs(holder, thing)

    def _holders(self, things: dict[int, Any]) -> list[tuple[Any, Any]]:
        """Return who refers to *things*, each with what, as often as it does."""
        referents = gc.get_referents
        if len(things) <= _FEW:
            known = set(map(id, self._objects))
            holders = [each for each in gc.get_referrers(*things.values())
                       if id(each) in known] if things else []
        else:
            ids = frozenset(things)
            holders = [each for each in self._objects
                       if not ids.isdisjoint(map(id, referents(each)))]
        return [(holder, things[id(each)]) for holder in holders
                if id(holder) not in self._ours and not type(holder).__module__.startswith(_HERE)
                for each in referents(holder) if id(each) in things]

    # -- one reference ------------------------------------------------------------------------

    def _tells_tool(self, holder: Any, thing: Any) -> str:
        """Say what *holder* tells of *thing*: "tool", it is a tool's or the interpreter's; "kept",
        a tool has it in a collection, perhaps for a report; "" nothing.
        """
        module = self._modules.get(id(holder))
        if module is not None:
            is_own = module in (threading, import_system) or is_tool(module.__name__)
        elif id(holder) in self._functions:
            is_own = is_tool(self._functions[id(holder)].__module__)
        elif id(holder) in self._classes:
            is_own = is_of_tool(self._classes[id(holder)])
        elif is_of(holder, dict, list, tuple, set):
            owners = self._owners.get(id(holder), [])
            for owner in owners:
                if getattr(owner, "__dict__", None) is holder and self._is_own(owner, thing):
                    return "tool"
            return "kept" if owners and all(map(self._is_of_tool, owners)) else ""
        else:
            is_own = self._is_own(holder, thing)
        return "tool" if is_own else ""

    def _is_own(self, holder: Any, thing: Any) -> bool:
        """Say whether an attribute of *holder* that is *thing* is a tool's, or the interpreter's.
        """
        if is_of(holder, threading.Thread) and not _names_of(vars(holder), thing).isdisjoint(
                _OF_THREADS):
            return True
        if is_of(holder, functools.cached_property):    # before 3.12 it has a lock
            return is_tool(getattr(holder.func, "__module__", None))
        return type(holder).__module__ == import_system.ModuleSpec.__module__ \
            or is_of_tool(type(holder))

    def _is_of_tool(self, owner: Any) -> bool:
        module = self._modules.get(id(owner))
        if module is not None:
            return module is threading or is_tool(module.__name__)
        return is_of_tool(type(owner))

    def _refs(self, holder: Any, thing: Any) -> Iterator[Ref]:
        """Yield the references of *holder* to *thing*."""
        if is_of(holder, type, *_OF_CLASSES) or type(holder) is thing \
                or getattr(holder, "__self__", None) is thing and is_of(thing, type):
            return    # a class that derives from it, or what is its own
        of_tool = self._tells_tool(holder, thing)
        function: Any
        function, owner = self._functions.get(id(holder)), self._classes.get(id(holder))
        if is_of(holder, tuple):
            if function is not None and function.__defaults__ is holder:
                for i, value in enumerate(holder):
                    if value is thing:
                        names = function.__code__.co_varnames[
                            function.__code__.co_argcount - len(holder):]
                        yield Ref(holder, Place("default", function, i), names[i], of_tool)
            elif not any(is_of(owner, type) for owner in self._owners.get(id(holder), [])):
                yield Ref(holder, None, f"in a tuple{self._of(holder)}", of_tool)
            return
        found = False
        for place in places_in(holder if owner is None else owner, thing):
            found = True
            yield Ref(holder, place, self._name(place, function), of_tool)
        if not found:
            yield Ref(holder, None, f"in a {type(holder).__name__}{self._of(holder)}", of_tool)

    def _of(self, box: Any) -> str:
        """Return of whom *box* is, in words."""
        for owner in self._owners.get(id(box), []):
            module = self._modules.get(id(owner))
            if module is not None:
                return f", {module.__name__}.{min(_names_of(owner, box))}"
        return ""

    def _name(self, place: Place, function: FunctionType | None) -> str:
        """Return what a reader would call what stands at *place*."""
        holder, key = place.holder, place.key
        if place.kind == "item":
            module = self._modules.get(id(holder))
            if module is not None:
                return key if module.__name__ == "__main__" else f"{module.__name__}.{key}"
            for owner in self._owners.get(id(holder), []):
                if not is_of(owner, dict, list, tuple, set, FrameType) and is_of(key, str):
                    return f"{type(owner).__name__}.{key}"
            return f"{self._of(holder)[2:]}[{key!r}]" if is_of(key, str, int) else ""
        if place.kind == "variable":
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (),
                                  strict=True) if function is not None else ():
                if cell is holder:
                    return name
        if place.kind == "attribute":
            return f"{type(holder).__name__}.{key}"
        if place.kind == "class attribute":
            return f"{holder.__name__}.{key}"
        if place.kind == "slot":
            return f"{type(holder).__name__}.{key.__name__}"
        return f"{self._of(holder)[2:]}[{key}]" if place.kind == "element" else ""


def _names_of(names: dict[Any, Any], thing: Any) -> set[Any]:
    return {name for name, value in list(dict.items(names)) if value is thing}

