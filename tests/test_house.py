"""Who may import whom, and that pages load nothing from elsewhere: read from the sources."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("dispycluster", "node", "cluster", "jobs", "schedules", "monitoring", "tasks", "tests")
CORE = ("node", "cluster", "jobs", "schedules", "monitoring")  # each may import those before it
EDGE = ("views", "api", "forms", "admin", "urls", "serializers", "management", "templatetags")
PURE = (
    "cluster.words",
    "cluster.strategies",
    "cluster.placement",
    "cluster.breaker",
    "jobs.ahead",
    "jobs.bundles",
    "jobs.retry",
    "schedules.times",
    "schedules.missed",
    "monitoring.looks",
    "monitoring.rules",
    "monitoring.causes",
    "monitoring.recommendations",
    "monitoring.replay",
    "monitoring.standing",
    "monitoring.fleets",
    "monitoring.resampling",
)


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of ours that is part of the product, with its file."""
    for package in OURS:
        if package == "tests":
            continue
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(name: str, path: Path) -> set[str]:
    """The dotted names a module imports, those inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parts, node.module or ""]) if node.level else node.module or ""
            base = base.strip(".")
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


MODULES = {name: (path, imports(name, path)) for name, path in modules()}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def offences(rule: str) -> list[str]:
    broken = []
    for name, (_, imported) in MODULES.items():
        for other in sorted(imported):
            if RULES[rule](name, other):
                broken.append(f"{name} imports {other}")
    return broken


def is_edge(name: str) -> bool:
    return any(part.split("_")[0] in EDGE for part in name.split(".")[1:])  # api_urls too


RULES = {
    "dispy only in node and cluster.engine": lambda name, other: (
        other.split(".")[0] in ("dispy", "pycos")
        and not within(name, "node")
        and not within(name, "cluster.engine")
    ),
    "node knows nothing else of ours": lambda name, other: (
        within(name, "node") and other.split(".")[0] in OURS and not within(other, "node")
    ),
    "node needs nothing but dispy and psutil": lambda name, other: (
        within(name, "node")
        and other.split(".")[0]
        not in {"node", "dispy", "pycos", "psutil", *sys.stdlib_module_names}
    ),
    "monitoring -> schedules -> jobs -> cluster -> node, never back": lambda name, other: (
        not is_edge(name)
        and name.split(".")[0] in CORE
        and other.split(".")[0] in CORE
        and CORE.index(other.split(".")[0]) > CORE.index(name.split(".")[0])
    ),
    "the core does not import the wiring": lambda name, other: (
        not is_edge(name) and name.split(".")[0] in CORE and within(other, "dispycluster")
    ),
    "nothing imports the edge": lambda name, other: (
        not is_edge(name)
        and other.split(".")[0] in (*CORE, "dispycluster")
        and is_edge(other)
        # What a schedule submits is checked as what the API is sent, by the same words.
        and not (name == "schedules.bodies" and within(other, "jobs.serializers"))
    ),
    "nothing imports the tests": lambda name, other: within(other, "tests"),
    "the user's functions know nothing of us": lambda name, other: (
        within(name, "tasks") and other.split(".")[0] in OURS
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_imports_follow_the_house_rule(rule: str) -> None:
    assert not offences(rule)


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_the_standard_library_and_pure_modules_only(name: str) -> None:
    if name not in MODULES:
        pytest.skip("not built yet")
    for other in MODULES[name][1]:
        first = other.split(".")[0]
        known = {*sys.stdlib_module_names, "cronsim"}  # which is as pure itself
        allowed = first in known or any(within(other, pure) for pure in PURE)
        packages = {pure.split(".")[0] for pure in PURE}  # `from cluster import placement`
        assert allowed or other in packages, f"{name} imports {other}"


def test_pages_and_styles_load_nothing_from_elsewhere() -> None:
    files = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "static").rglob("*.css")]
    assert files
    loaded = re.compile(
        r"""(?:\b(?:src|srcset|action|poster|data)\s*=\s*["']?\s*(?:https?:)?//"""
        r"""|<link\b[^>]*\bhref\s*=\s*["']?\s*(?:https?:)?//"""
        r"""|url\(\s*["']?\s*(?:https?:)?//|@import\s+["']?(?:https?:)?//)""",
        re.IGNORECASE,
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        for match in loaded.finditer(path.read_text())
    ]
    assert not found


def test_scripts_of_ours_call_nobody_elsewhere() -> None:
    for path in (ROOT / "static").rglob("*.js"):
        if "vendor" not in path.parts:
            assert not re.search(r"""["'`](?:https?:)?//[a-z]""", path.read_text()), path


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_two_requirements_files_pin_the_same_versions() -> None:
    product, checks = pins("requirements.txt"), pins("requirements-dev.txt")
    assert product["dispy"] == "4.15.2"
    assert {name: checks.get(name) for name in product} == product


def test_the_requirements_name_no_index() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert not re.search(
            r"https?:|--(extra-)?index-url|--find-links", (ROOT / name).read_text()
        )
