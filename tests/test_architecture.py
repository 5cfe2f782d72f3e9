"""docs/architecture.md lists every file of the package, in an order in which each imports only those above it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^\| `(recipe/[\w/]+(?:\.py|/))`", PAGE, re.M)
# Packages that the page lists as a whole, and directories that hold no code.
WHOLE = ("recipe/synthetic/", "recipe/verse/", "recipe/metrics/")
NO_CODE = ("recipe/configs/", "recipe/launch/", "recipe/data/", "recipe/templates/")


def part_of(path: Path) -> str:
    """Return the part of the package that a file belongs to, as the page lists it."""
    relative = path.relative_to(ROOT).as_posix()
    return next((whole for whole in WHOLE if relative.startswith(whole)), relative)


def imported_parts(path: Path) -> set[str]:
    """Return the parts of the package that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "recipe":
            module = ROOT.joinpath(*node.module.split("."))
            files = [module.with_suffix(".py")]
            if module.is_dir():
                files = [module / "__init__.py", *(module / f"{alias.name}.py" for alias in node.names)]
            found |= {part_of(file) for file in files if file.exists()}
    return {part for part in found if not part.endswith("__init__.py")}


def code_parts() -> set[str]:
    """Return every part of the package that holds code."""
    parts = {part_of(path) for path in (ROOT / "recipe").glob("**/*.py")}
    return {part for part in parts if not part.endswith("__init__.py")}


def test_every_file_is_listed_once():
    assert sorted(name for name in LISTED if name not in NO_CODE) == sorted(code_parts())


def test_imports_go_one_way():
    place = {name: number for number, name in enumerate(LISTED)}
    files = [path for path in (ROOT / "recipe").glob("**/*.py") if part_of(path) in place]
    backwards = {
        (part_of(path), imported)
        for path in files
        for imported in imported_parts(path) - {part_of(path)}
        if place[imported] > place[part_of(path)]
    }
    assert not backwards
