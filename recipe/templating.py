"""The templates of `recipe/templates/`, filled so that no text of the data can act in the page it lands in.

Whatever a template prints is escaped for the language of its file, by the file's ending; only `Markup`, which our own
code alone makes, is taken as it is.
"""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from recipe.language import _


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, in a table cell too."""
    # An underscore between two word characters, as in a setting's name, stresses nothing (CommonMark 6.2).
    escaped = re.sub(r"([\\`*\[\]#|~$]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code_span(text: str) -> Markup:
    """Return text as Markdown code, in a table cell too; backticks in it lengthen the fence."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return Markup(f"{fence}{padding}{' '.join(text.split())}{padding}{fence}".replace("|", "\\|"))


def code_block(text: str, language: str) -> Markup:
    """Return text as a block of Markdown code; backticks in it lengthen the fence."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup(f"{fence}{language}\n{text}\n{fence}")


def render(template: str, **values: Any) -> str:
    """Return the text of a template, `NAME.html` or `NAME.md`.

    Raises:
        jinja2.UndefinedError: the template asks for something that `values` lacks.
    """
    environment = _MARKDOWN if template.endswith(".md") else _HTML
    return environment.get_template(template).render(values)


def _environment(**settings: Any) -> Environment:
    return Environment(
        loader=PackageLoader("recipe"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **settings,
    )


def _for_markdown(value: Any) -> Markup:
    """Escape what a template prints; jinja2, which escapes for HTML after this, leaves `Markup` alone."""
    return value if isinstance(value, Markup) else Markup(escape_markdown(str(value)))


_HTML = _environment()
_MARKDOWN = _environment(finalize=_for_markdown)
# Sentences are translated as in Python, `_("… {name} …").format(name=name)`: the whole of it is text, and is escaped
# for the language of the file as all texts are. (jinja2's own extension would give `Markup`, escaped for HTML alone.)
_HTML.globals["_"] = _MARKDOWN.globals["_"] = _
_MARKDOWN.filters |= {"code_span": code_span, "code_block": code_block}
