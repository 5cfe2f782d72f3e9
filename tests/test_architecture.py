"""docs/architecture.md lists every file of the package, in an order in which each imports only those above it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LISTED = re.findall(r"^\| `(recipe/\w+(?:\.py|/))`", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.M)


def part_of(path: Path) -> str:
    """Return the part of the package that a file belongs to, as the page lists it."""
    relative = path.relative_to(ROOT)
    return str(relative) if len(relative.parts) == 2 else f"recipe/{relative.parts[1]}/"


def imported_parts(path: Path) -> set[str]:
    """Return the parts of the package that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "recipe":
            names = node.module.split(".")[1:] or [alias.name for alias in node.names]
            found |= {
                f"recipe/{name}.py" if (ROOT / f"recipe/{name}.py").exists() else f"recipe/{name}/"
                for name in names[:1]
            }
    return found


def test_every_file_is_listed_once():
    parts = {part_of(path) for path in (ROOT / "recipe").glob("**/*.py")} - {"recipe/__init__.py"}
    assert sorted(
        name for name in LISTED if name not in ("recipe/configs/", "recipe/launch/", "recipe/data/")
    ) == sorted(parts)


def test_imports_go_one_way():
    place = {name: number for number, name in enumerate(LISTED)}
    backwards = {
        (part_of(path), imported)
        for path in (ROOT / "recipe").glob("**/*.py")
        for imported in imported_parts(path) - {part_of(path)}
        if part_of(path) != "recipe/__init__.py" and place[imported] > place[part_of(path)]
    }
    assert not backwards
