"""Bring the catalogue of Chinese messages up to date with the code, and compile it.

    python bench/make_catalogue.py

New sentences come into recipe/locale/zh/LC_MESSAGES/recipe.po with an empty translation; fill it in and run this again.
Exits with 1 while any is empty.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from recipe import __version__
from recipe.files import atomic_open
from recipe.language import DIRECTORY, DOMAIN
from recipe.settings import DataSettings

PACKAGE = DIRECTORY.parent
PO_FILE = DIRECTORY / "zh" / "LC_MESSAGES" / f"{DOMAIN}.po"
MO_FILE = PO_FILE.with_suffix(".mo")
# Which arguments of a call are sentences.
KEYWORDS = {"_": (0,), "N_": (0,), "ngettext": (0, 1), "setting": (1,)}
# What argparse says in a help page and of flags.
ARGPARSE = (
    *("usage: ", "options", "positional arguments", "show this help message and exit"),
    *("expected one argument", "expected at least one argument", "argument %(argument_name)s: %(message)s"),
    *("the following arguments are required: %s", "unrecognized arguments: %s", "invalid %(type)s value: %(value)r"),
    *("invalid choice: %(value)r (choose from %(choices)s)", "ignored explicit argument %r"),
    "%(prog)s: error: %(message)s\n",
)


def messages() -> Iterator[str | tuple[str, ...]]:
    """Yield every sentence of the package; a pair where there is one for one and one for many."""
    for file in sorted(PACKAGE.rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        yield from _marked(source)
        if file.name in ("settings.py", "commands.py"):
            yield from _docstrings(source, file.name)
    for file in sorted((PACKAGE / "templates").glob("*")):
        if file.suffix in (".html", ".md"):
            yield from (found[1] for found in extract("jinja2.ext:babel_extract", io.BytesIO(file.read_bytes())))
    yield from ARGPARSE
    # Put together from what each format says of itself.
    yield DataSettings.__dataclass_fields__["text_format"].metadata["help"]


def _marked(source: str) -> Iterator[str | tuple[str, ...]]:
    """Yield the sentences that a file marks. Babel's own reader takes the key of `_(row["key"])` for one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KEYWORDS:
            wanted = [node.args[place] for place in KEYWORDS[node.func.id] if place < len(node.args)]
            found = tuple(
                text.value for text in wanted if isinstance(text, ast.Constant) and isinstance(text.value, str)
            )
            if found:
                yield found if len(found) > 1 else found[0]


def _docstrings(source: str, name: str) -> Iterator[str]:
    """Yield what `--help` shows of docstrings: the titles of groups of settings, the commands' descriptions."""
    for node in ast.parse(source).body:
        if name == "settings.py" and isinstance(node, ast.ClassDef) and (text := ast.get_docstring(node)):
            yield text.rstrip(".")
        if name == "commands.py" and isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield inspect.cleandoc(ast.get_docstring(node) or "")


def current() -> Catalog:
    """Return the catalogue with exactly the sentences of the code, and the translations that there are."""
    with PO_FILE.open("rb") as file:
        translated = read_po(file, locale="zh", charset="utf-8")
    catalogue = Catalog(
        locale="zh",
        domain=DOMAIN,
        project="couplet-recipe",
        version=__version__,
        msgid_bugs_address="",
        last_translator="",
        language_team="",
        header_comment=translated.header_comment,
        creation_date=translated.creation_date,  # the same sentences make the same bytes
        revision_date=translated.revision_date,
        fuzzy=False,
    )
    for message in messages():
        known = translated.get(message if isinstance(message, str) else message[0])
        catalogue.add(message, known.string if known else None)
    return catalogue


def untranslated(catalogue: Catalog) -> list[str]:
    """Return the sentences without a translation."""
    return [str(message.id) for message in catalogue if message.id and not all(message.string or [""])]


def as_po(catalogue: Catalog) -> bytes:
    """Return the catalogue as text, without places in the code, so that two people's changes seldom meet."""
    buffer = io.BytesIO()
    write_po(buffer, catalogue, width=0, no_location=True, omit_header=False, sort_output=True)
    return buffer.getvalue()


def as_mo(catalogue: Catalog) -> bytes:
    """Return the catalogue as gettext reads it."""
    buffer = io.BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def main() -> int:
    """Write both files and say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    catalogue = current()
    for file, content in ((PO_FILE, as_po(catalogue)), (MO_FILE, as_mo(catalogue))):
        with atomic_open(file, "wb") as stream:
            stream.write(content)
    missing = untranslated(catalogue)
    print(f"{PO_FILE.relative_to(Path.cwd())}: {len(catalogue)} sentences, {len(missing)} not translated")
    for sentence in missing:
        print(f"  {sentence!r}")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
