"""Functions from the tasks zip: found, called, and their end put into words.

Lean: a fork server imports it (node/forkserver.py), and each page of memory that a forked child
touches is copied first. So what only some need is imported where they do.
"""

from __future__ import annotations

import importlib
import json
import sys

from node.errors import DEEPEST, RESULT_LIMIT, MemberError, too_deep, too_large

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Any

TRACEBACK_LIMIT = 16_000
_JSON = json.JSONEncoder(allow_nan=False)
_HERE = f"{__file__.rpartition('/')[0]}/"


class Function:
    __slots__ = ("call", "paths")

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call
        self.paths = _path_parameters(call)  # the parameters annotated as Path


class Tasks:
    """The tasks zip this process has on its sys.path. One at a time: a changed one replaces it."""

    def __init__(self) -> None:
        self.zip: str | None = None
        self.found: dict[str, Function] = {}
        self.files: dict[int, tuple[int, int]] = {}  # opened as modules were imported here

    def use(self, zip_path: str) -> None:
        if self.zip == zip_path:
            return
        if self.zip:
            self._forget(self.zip)
        self.zip = zip_path
        sys.path.insert(0, zip_path)

    def _forget(self, old: str) -> None:
        self.found.clear()
        sys.path[:] = [entry for entry in sys.path if entry != old]
        for name, module in list(sys.modules.items()):
            if _comes_from(module, old):
                del sys.modules[name]
        for entry in [e for e in sys.path_importer_cache if e.startswith(old)]:
            del sys.path_importer_cache[entry]

    def function(self, name: str) -> Function:
        """The function of that dotted name; importing its module runs the user's code."""
        if name not in self.found:
            self.found[name] = self._find(name)
        return self.found[name]

    def _find(self, name: str) -> Function:
        module_name, _, attribute = name.rpartition(".")
        assert self.zip
        if not module_name:
            raise unknown(f"{name!r} does not say where it is: write module.function")
        if module_name.partition(".")[0] in sys.stdlib_module_names:
            raise unknown(
                f"a file in tasks cannot be named as Python's own {module_name!r}: rename it"
            )
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and f"{module_name}.".startswith(f"{error.name}."):
                raise unknown(f"there is no module {module_name!r} in tasks") from None
            raise
        if not _comes_from(module, self.zip):
            raise unknown(f"the name {module_name!r} is taken by another module on this node")
        call = getattr(module, attribute, None)
        if not callable(call):
            raise unknown(f"there is no function {attribute!r} in tasks/{module_name}.py")
        return Function(call)


def unknown(message: str) -> MemberError:
    return MemberError("unknown_function", message)


def _comes_from(module: Any, zip_path: str) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(f"{zip_path}/")


def _path_parameters(call: Callable[..., Any]) -> tuple[str, ...]:
    if type(call) is type(_path_parameters) and not hasattr(call, "__wrapped__"):
        return tuple(name for name, kind in call.__annotations__.items() if _is_path(kind))
    import inspect  # a tenth of a server's start, for what is seldom

    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(each.name for each in parameters if _is_path(each.annotation))


def _is_path(annotation: Any) -> bool:
    known = sys.modules.get("pathlib")  # or nothing can be annotated with what is in it
    return annotation in ("Path", "pathlib.Path") or (
        known is not None and annotation is known.Path
    )


def arguments(
    function: Function, args: Mapping[str, Any], scratch: Path | str | None
) -> dict[str, Any]:
    """args with the text for a Path parameter made into one, inside scratch."""
    if not function.paths:
        return dict(args)
    from pathlib import Path

    return {
        name: Path(scratch or "", value)
        if name in function.paths and isinstance(value, str)
        else value
        for name, value in args.items()
    }


def result_text(value: Any) -> str:
    """The value as JSON that everybody can read, or a MemberError that says why not."""
    if value is None:
        return "null"
    try:
        text = repr(value) if type(value) is int else _JSON.encode(value)
    except RecursionError:
        raise too_deep() from None
    except (TypeError, ValueError) as error:
        kind = type(value).__name__
        raise MemberError(
            "result_not_json",
            f"the function returned a {kind} that cannot be written as JSON ({error}); "
            "return plain numbers, text, lists and dicts",
        ) from None
    if len(text) > RESULT_LIMIT:  # ASCII: characters are bytes
        raise too_large(len(text))
    if "\\ud" in text or text.count("[") + text.count("{") > DEEPEST:
        from node.report import checked_result

        return checked_result(text)
    return text


def _is_ours(frame_file: str) -> bool:
    return frame_file.startswith((_HERE, "<frozen "))


def describe(error: BaseException, zip_path: str | None) -> dict[str, Any]:
    """A failed member's fields for what the function raised, from the user's frames on."""
    import traceback

    if isinstance(error, MemberError):
        return {"error": str(error), "error_type": error.error_type}
    where: TracebackType | None = error.__traceback__
    while where and _is_ours(where.tb_frame.f_code.co_filename):
        where = where.tb_next
    name = type(error).__name__
    try:
        message = str(error)
        lines = traceback.format_exception(type(error), error, where)
    except Exception:  # its __str__ raises
        message, lines = "", [name]
    text = "".join(lines)
    if zip_path:
        text = text.replace(f"{zip_path}/", "tasks/")
    if len(text) > TRACEBACK_LIMIT:
        text = "…" + text[1 - TRACEBACK_LIMIT :]
    short = message if len(message) <= 1000 else message[:1000] + "…"
    return {
        "error": f"{name}: {short}" if short else name,
        "error_type": name,
        "traceback": text,
    }


def exit_status(error: SystemExit) -> tuple[int, str]:
    """What sys.exit means: its status, and the text it prints."""
    if error.code is None:
        return 0, ""
    if isinstance(error.code, int):
        return error.code & 0xFF, ""
    return 1, f"{error.code}\n"


def reseed() -> None:
    """numpy's global generator does not notice a fork: without this, members that are forked
    from the same state would all draw the same numbers."""
    numpy = sys.modules.get("numpy")
    if numpy and "numpy.random" in sys.modules:
        numpy.random.seed()


def call_in_child(
    tasks: Tasks, name: str, args: Mapping[str, Any], scratch: Path | str
) -> tuple[bytes, int]:
    """In the forked child: the note for the runner, and the exit code."""
    note: dict[str, Any] = {}
    code = 0
    try:
        function = tasks.function(name)
        note["imported"] = True
        reseed()
        result = result_text(function.call(**arguments(function, args, scratch)))
        return f'{{"imported": true, "result": {json.dumps(result)}}}'.encode(), 0
    except SystemExit as error:
        code, text = exit_status(error)
        sys.stderr.write(text)
        note["exit"] = code
    except BaseException as error:
        note.update(describe(error, tasks.zip))
        code = 1
    return json.dumps(note).encode(), code
