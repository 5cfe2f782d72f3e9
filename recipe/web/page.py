"""The page, one for each language, made of Gradio's inputs and of our own picture of the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup, escape

from recipe.couplet.form import Violation, form_violations
from recipe.errors import UserError
from recipe.language import _, speaking
from recipe.model.tokenization import read_by, unknown_characters
from recipe.settings import GenerationSettings
from recipe.templating import render
from recipe.web.batching import Batcher, BusyError
from recipe.web.picture import couplet_svg
from recipe.web.rating import PATH as SHEETS_PATH
from recipe.web.requests import (
    ACROSTIC,
    LINE_LENGTHS,
    MOST,
    MOST_CHARACTERS,
    THEME,
    RefusedError,
    Wish,
    checked_given,
    checked_line,
    checked_wish,
)
from recipe.web.wording import EXAMPLES, words_of

if TYPE_CHECKING:  # it imports torch
    from recipe.generating.generator import Answer

PATHS = {"zh": "/", "en": "/en/"}
LONGEST_HEADING = 4
ANSWER = "answer"  # what the page does unless a whole couplet is asked for
# The line that the page's address carries, as the link to the other language makes it carry one. The browser reads it
# itself: an answer of the server would come after the first characters were typed and erase them.
LINE_OF_ADDRESS = (
    "typed => typed || [...new URLSearchParams(location.search).get('upper') ?? '']"
    f".slice(0, {MOST_CHARACTERS}).join('')"
)
_DIRECTORY = Path(__file__).parent
_LANGUAGE_TAGS = {"zh": "zh-CN", "en": "en"}
# Rules in the order in which people check them; a mark's place and the mark itself are one thing to a reader.
_RULES = {
    "length": {Violation.LENGTH},
    "punctuation": {Violation.PUNCTUATION, Violation.MARK},
    "repetition": {Violation.REPETITION},
    "shared_character": {Violation.SHARED_CHARACTER},
    "foreign_character": {Violation.FOREIGN_CHARACTER},
}


def make_page(batchers: Mapping[str, Batcher], language: str, has_sheets: bool = False) -> gr.Blocks:
    """Return the page in a language; with two models it answers by both, side by side; with sheets it has two tabs."""
    words = words_of(language)
    with gr.Blocks(title=words["title"], analytics_enabled=False) as page:
        gr.HTML(_masthead(words, language))
        if has_sheets:
            with gr.Tabs(elem_id="tabs"):
                with gr.Tab(words["tab_couplets"], id="couplets"):
                    upper = _couplets(batchers, language)
                with gr.Tab(words["tab_rate"], id="rate"):
                    gr.HTML(_sheet_frame(words, language), padding=False)
        else:
            upper = _couplets(batchers, language)
        gr.HTML(_colophon(words, words["footer_rate" if has_sheets else "footer"]))
        page.load(None, upper, upper, js=LINE_OF_ADDRESS, api_visibility="private")
    return page


def _couplets(batchers: Mapping[str, Batcher], language: str) -> gr.Textbox:
    """Add what asks and answers, and return the box for typing."""
    words = words_of(language)
    with gr.Row(elem_id="ask"):
        upper = gr.Textbox(
            label=words["upper"],
            placeholder=words["placeholder"],
            max_lines=1,
            elem_id="upper",
            scale=5,
            autofocus=True,
        )
        ask = gr.Button(words["answer"], variant="primary", elem_id="answer")
    ways = [(words[f"way_{way}"], way) for way in (ANSWER, ACROSTIC, THEME)]
    way = gr.Radio(ways, value=ANSWER, label=words["way"], show_label=False, container=False, elem_id="way")
    way.change(
        lambda chosen: _asking(words, chosen), way, [upper, ask], api_visibility="private", show_progress="hidden"
    )
    with gr.Row(elem_id="examples"):
        gr.HTML(f'<span class="examples-label">{escape(words["examples"])}</span>', min_height=0)
        examples = [(line, gr.Button(line, size="sm")) for line in EXAMPLES]
    with gr.Accordion(words["settings"], open=False, elem_id="settings"):
        settings = {"way": way, **_settings(words, has_two=len(batchers) > 1)}
    shown = gr.HTML(f'<p class="waiting">{escape(words["waiting"])}</p>', elem_id="answers")
    answer = _answering(batchers, language, list(settings))
    wiring = {"inputs": [upper, *settings.values()], "outputs": shown, "concurrency_limit": None}
    wiring |= {"show_progress": "minimal", "api_visibility": "private"}
    gr.on([ask.click, upper.submit], answer, **wiring)
    for line, button in examples:
        filled = f"() => {json.dumps([line, ANSWER])}"
        fill = button.click(None, None, [upper, way], js=filled, api_visibility="private")
        fill.then(answer, **wiring)
    return upper


def _sheet_frame(words: Mapping[str, str], language: str) -> str:
    """Return the page of the blind sheets inside this one; by itself it has more room on a phone."""
    return Markup(
        '<p class="caption">{introduction} <a href="{path}?language={language}" target="_blank">{alone}</a></p>'
        '<iframe id="sheet" src="{path}?language={language}" title="{title}"></iframe>'
    ).format(
        introduction=words["rate_introduction"],
        path=SHEETS_PATH,
        language=language,
        alone=words["rate_alone"],
        title=words["tab_rate"],
    )


def _asking(words: Mapping[str, str], way: str) -> Any:
    """Return what the box for typing and the button say in a way of writing."""
    if way == ANSWER:
        return gr.update(label=words["upper"], placeholder=words["placeholder"]), gr.update(value=words["answer"])
    box = gr.update(label=words[f"given_{way}"], placeholder=words[f"placeholder_{way}"])
    return box, gr.update(value=words["write"])


def style() -> str:
    """Return the page's style sheet."""
    return (_DIRECTORY / "page.css").read_text(encoding="utf-8")


def script(language: str) -> str:
    """Return what stands in the page's head: the script for its language."""
    code = (_DIRECTORY / "page.js").read_text(encoding="utf-8")
    return f"<script>{code.replace('COUPLET_LANGUAGE', json.dumps(_LANGUAGE_TAGS[language]))}</script>"


def theme() -> gr.themes.Base:
    """Return a theme whose fonts are those of the visitor's system; Gradio's own would come from elsewhere."""
    sans = (
        "system-ui",
        "-apple-system",
        "Segoe UI",
        "Noto Sans CJK SC",
        "PingFang SC",
        "Microsoft YaHei",
        "sans-serif",
    )
    return gr.themes.Base(
        primary_hue=gr.themes.colors.red, neutral_hue=gr.themes.colors.stone, font=sans, font_mono=("monospace",)
    )


def _masthead(words: Mapping[str, str], language: str) -> str:
    other = next(name for name in PATHS if name != language)
    return Markup(
        '<header class="masthead"><span class="seal" lang="zh" aria-hidden="true">对联</span>'
        "<div><h1>{headline}</h1><p>{introduction}</p></div>"
        '<a class="language" href="{path}" lang="{tag}" hreflang="{tag}">{other}</a></header>'
    ).format(
        headline=words["headline"],
        introduction=words["introduction"],
        path=PATHS[other],
        tag=_LANGUAGE_TAGS[other],
        other=words["other_language"],
    )


def _colophon(words: Mapping[str, str], footer: str) -> str:
    return Markup(
        '<p class="colophon">{footer}<br>{interface} <code>POST /api/couplet</code> · <code>/v1/completions</code> · '
        "<code>/v1/chat/completions</code></p>"
    ).format(footer=footer, interface=words["footer_interface"])


def _settings(words: Mapping[str, str], has_two: bool) -> dict[str, gr.components.Component]:
    """Return the drawer's inputs by the names that `_answering` gives their values."""
    tones = [(words[f"tones_{policy}"], policy) for policy in ("prefer", "strict", "off")]
    with gr.Row():
        inputs: dict[str, gr.components.Component] = {
            "n": gr.Slider(1, MOST["n"], 3, step=1, label=words["n"]),
            "best_of": gr.Slider(1, MOST["best_of"], 16, step=1, label=words["best_of"]),
            "tones": gr.Radio(tones, value="prefer", label=words["tones"]),
        }
    with gr.Row():
        inputs |= {
            "temperature": gr.Slider(0.1, 2.0, 0.7, step=0.1, label=words["temperature"]),
            "top_k": gr.Slider(0, 200, 50, step=1, label=words["top_k"]),
            "top_p": gr.Slider(0.05, 1.0, 0.95, step=0.05, label=words["top_p"]),
        }
    with gr.Row():
        inputs |= {
            "banned_words": gr.Textbox(label=words["banned_words"], max_lines=1, max_length=400),
            "heading": gr.Textbox(label=words["heading"], max_lines=1, max_length=LONGEST_HEADING),
            "seed": gr.Textbox(label=words["seed"], max_lines=1, max_length=20),
        }
    length = GenerationSettings.line_length
    inputs["line_length"] = gr.Slider(LINE_LENGTHS[0], LINE_LENGTHS[-1], length, step=1, label=words["line_length"])
    if has_two:
        inputs["compare"] = gr.Checkbox(True, label=words["compare"])
    return inputs


def _answering(batchers: Mapping[str, Batcher], language: str, names: Sequence[str]) -> Callable[..., Any]:
    """Return what the button does: values of the inputs to the HTML below them, a sentence where it cannot."""

    async def answer(request: gr.Request, upper: str, *values: Any) -> str:
        options = dict(zip(names, values, strict=True))
        visitor = request.client.host if request.client else ""
        with speaking(language):
            try:
                return await _answers_html(batchers, language, upper or "", options, visitor)
            except RefusedError as error:
                refused = error
            except BusyError:
                refused = RefusedError("busy")
            except UserError as error:
                refused = RefusedError("other", reason=_("; ").join(error.problems))
        return Markup('<p class="refused" role="alert">{}</p>').format(refused.sentences[language])

    return answer


async def _answers_html(
    batchers: Mapping[str, Batcher], language: str, typed: str, options: dict[str, Any], visitor: str
) -> str:
    first = next(iter(batchers.values())).couplets.ready
    way, line_length = options.pop("way"), options.pop("line_length")
    around = None if way == ANSWER else (way, line_length)
    if around:
        upper = checked_given(typed, way, line_length, first.tokenizer)
    else:
        upper = checked_line(typed, first.text_format)
    heading = (options.pop("heading") or "").strip()
    if heading:
        heading = checked_line(heading, first.text_format)
    chosen = dict(batchers) if options.pop("compare", True) else dict(list(batchers.items())[:1])
    options["seed"] = (options["seed"] or "").strip() or None
    options["banned_words"] = (options["banned_words"] or "").split()
    options["best_of"] = max(options["best_of"], options["n"])
    wish = checked_wish(options)
    found = await asyncio.gather(*(_ask(batcher, upper, wish, visitor, around) for batcher in chosen.values()))
    if not any(found):
        raise RefusedError("none")
    words = words_of(language)
    caption = words[f"caption_{way}"].format(given=upper) if around else ""
    systems = [
        {"name": name, "cards": [_card(answer, heading, words) for answer in answers]}
        for name, answers in zip(chosen, found, strict=True)
    ]
    unknown = " ".join(unknown_characters(first.tokenizer, read_by(first.tokenizer, upper).text))
    return render("web_answers.html", words=words, systems=systems, unknown=unknown, caption=caption)


async def _ask(batcher: Batcher, upper: str, wish: Wish, visitor: str, around: tuple[str, int] | None) -> list[Answer]:
    request = batcher.submit(upper, wish.settings, wish.banned_words, wish.seed, visitor, around)
    return await asyncio.wrap_future(request)


def _card(answer: Answer, heading: str, words: Mapping[str, str]) -> dict[str, Any]:
    """Return what the template shows of an answer."""
    broken = set(form_violations(answer.prompt, answer.text))
    figures = [("tone_share", "tone_help", None if answer.tones is None else f"{answer.tones:.0%}")]
    figures.append(("score", "score_help", f"{answer.log_probability:.2f}".replace("-", "−")))
    parallelism = None if answer.parallelism is None else f"{answer.parallelism:.2f}".replace("-", "−")
    figures.append(("parallelism", "parallelism_help", parallelism))
    return {
        "upper": answer.prompt,
        "lower": answer.text,
        "picture": Markup(couplet_svg(answer.prompt, answer.text, heading)),
        "checks": [{"name": words[rule], "kept": not broken & kinds} for rule, kinds in _RULES.items()],
        "figures": [
            {"name": words[name], "help": words[explanation], "value": value}
            for name, explanation, value in figures
            if value is not None
        ],
    }
