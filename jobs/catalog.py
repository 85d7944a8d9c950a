"""The functions in tasks/, read with ast: nothing of the user's is run to list them."""

import ast
import difflib
import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from jobs import files


@dataclass(frozen=True)
class Parameter:
    name: str
    annotation: str  # as written; "" where there is none
    default: str  # as written; "" where it is required
    required: bool


@dataclass(frozen=True)
class Function:
    name: str  # module.function
    module: str
    doc: str
    parameters: tuple[Parameter, ...]
    takes_any: bool  # has **kwargs


def functions() -> list[Function]:
    """Every public function of every tasks/*.py that parses, by name."""
    found = [function for path in sources() for function in read(path, path.stat().st_mtime_ns)]
    return sorted(found, key=lambda function: function.name)


def find(name: str) -> Function | None:
    path = Path(settings.TASKS, f"{name.partition('.')[0]}.py")
    if "/" in name or name.startswith("_") or not path.is_file():
        return None
    return next((each for each in read(path, path.stat().st_mtime_ns) if each.name == name), None)


def nearest(name: str) -> str | None:
    """The known name that looks most like this one."""
    close = difflib.get_close_matches(name, [function.name for function in functions()], 1)
    return close[0] if close else None


def sources() -> list[Path]:
    return sorted(p for p in Path(settings.TASKS).glob("*.py") if not p.name.startswith("_"))


@lru_cache(maxsize=256)
def read(path: Path, mtime_ns: int) -> tuple[Function, ...]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, OSError):
        return ()
    return tuple(
        describe(path.stem, node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    )


def describe(module: str, node: ast.FunctionDef) -> Function:
    spec = node.args
    plain = [*spec.posonlyargs, *spec.args]
    defaults = [None] * (len(plain) - len(spec.defaults)) + list(spec.defaults)
    pairs = list(zip(plain, defaults, strict=True))
    pairs += list(zip(spec.kwonlyargs, spec.kw_defaults, strict=True))
    parameters = tuple(
        Parameter(
            name=arg.arg,
            annotation=ast.unparse(arg.annotation) if arg.annotation else "",
            default=ast.unparse(default) if default is not None else "",
            required=default is None,
        )
        for arg, default in pairs
    )
    doc = ast.get_docstring(node) or ""
    return Function(f"{module}.{node.name}", module, doc, parameters, spec.kwarg is not None)


CHECKS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "Path": (str,),
}


def complaint(function: Function, args: dict[str, Any]) -> str | None:
    """What is wrong with these arguments, in a sentence; None if nothing."""
    known = {parameter.name: parameter for parameter in function.parameters}
    unknown = sorted(set(args) - set(known))
    if unknown and not function.takes_any:
        takes = ", ".join(known) or "nothing"
        return f"{function.name} takes no {', '.join(unknown)}; it takes {takes}."
    if missing := [name for name, p in known.items() if p.required and name not in args]:
        return f"{function.name} needs {', '.join(missing)}."
    for name, value in args.items():
        wanted = CHECKS.get(known[name].annotation) if name in known else None
        wrong_bool = isinstance(value, bool) and wanted and bool not in wanted
        if wanted and (wrong_bool or not isinstance(value, wanted)):
            return f"{name} must be {known[name].annotation}, not {value!r}."
    return None


def archive() -> str:
    """The digest of a zip of tasks/*.py in the file store: the same bytes for the same sources."""
    stamp = tuple(
        (path, path.stat().st_mtime_ns) for path in sorted(Path(settings.TASKS).glob("*.py"))
    )
    return pack(stamp)


@lru_cache(maxsize=4)
def pack(stamp: tuple[tuple[Path, int], ...]) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path, _ in stamp:
            bundle.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
    data = buffer.getvalue()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if not files.path(digest).exists():
        files.keep([data], limit=64 * 2**20)
    return digest
