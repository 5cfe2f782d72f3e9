"""What the page says: in English here, in Chinese in the catalogue; each text whole, none put together from pieces."""

from __future__ import annotations

from recipe.language import N_, translations

# Upper lines written for this project.
EXAMPLES = ("春满神州花似锦", "一帘细雨，数点寒梅", "窗前翠竹迎风舞", "山山水水处处明明秀秀", "海阔凭鱼跃")

# What the page in the other language is called, in that language.
OTHER_LANGUAGE = {"zh": "English", "en": "中文"}

_WORDS = {
    "title": N_("Couplets"),
    "headline": N_("You write the upper line, it writes the lower"),
    "introduction": N_(
        "Equal length, mirrored punctuation and repetition, no character of the upper line: decoding holds the form."
    ),
    "upper": N_("Upper line (上联)"),
    "placeholder": N_("For example 春满神州花似锦"),
    "answer": N_("Answer this line"),
    "examples": N_("Try one of these"),
    "way": N_("What to write"),
    "way_answer": N_("Answer an upper line"),
    "way_acrostic": N_("Acrostic (藏头)"),
    "way_theme": N_("Couplet with a word"),
    "given_acrostic": N_("Two characters, the first of each line"),
    "given_theme": N_("A word for the upper line"),
    "placeholder_acrostic": N_("For example 春福"),
    "placeholder_theme": N_("For example 明月"),
    "write": N_("Write both lines"),
    "caption_acrostic": N_("Acrostic of {given}; the model wrote both lines"),
    "caption_theme": N_("With {given} in the upper line; the model wrote both lines"),
    "line_length": N_("Characters of a line (acrostic, couplet with a word)"),
    "settings": N_("Settings"),
    "n": N_("Lower lines"),
    "best_of": N_("Best of how many"),
    "tones": N_("Tones"),
    "tones_off": N_("Ignore"),
    "tones_prefer": N_("Prefer opposed"),
    "tones_strict": N_("Demand opposed"),
    "temperature": N_("Temperature (higher is more surprising)"),
    "top_k": N_("Top-k (0 for all)"),
    "top_p": N_("Top-p"),
    "banned_words": N_("Words to avoid, with spaces between"),
    "seed": N_("Seed (empty: different every time)"),
    "heading": N_("Heading (横批), written by you, hung above"),
    "compare": N_("Compare both models"),
    "show_tones": N_("Show tones (平 level, 仄 oblique, 中 either)"),
    "copy_lines": N_("Copy"),
    "copied_lines": N_("Copied"),
    "png": N_("Save PNG"),
    "svg": N_("Save SVG"),
    "form": N_("Form"),
    "length": N_("equal length"),
    "punctuation": N_("marks mirrored"),
    "repetition": N_("repetition mirrored"),
    "shared_character": N_("no shared character"),
    "foreign_character": N_("Chinese characters only"),
    "tone_share": N_("Tones opposed"),
    "tone_help": N_("Share of the even positions and the last whose tones are opposed"),
    "score": N_("Model's score"),
    "score_help": N_("Mean log-probability of a character by the model itself; 0 is certainty"),
    "parallelism": N_("Parallelism"),
    "parallelism_help": N_(
        "How often such characters answer each other in known couplets, in nats; 0 is chance, more is better"
    ),
    "unknown": N_("The model does not know these characters and could not see them:"),
    "waiting": N_("The lower lines will hang here"),
    "tab_couplets": N_("Write couplets"),
    "tab_rate": N_("Rate couplets"),
    "rate_introduction": N_("Rate couplets without knowing who wrote them; the name may be a pseudonym."),
    "rate_alone": N_("Open on a page of its own"),
    "footer_rate": N_(
        "Everything runs on this machine; nothing is sent elsewhere. Only ratings and the names given with them are "
        "kept."
    ),
    "footer": N_("Everything runs on this machine; nothing is sent elsewhere, and nothing you write is kept."),
    "footer_interface": N_("For programs"),
}


def words_of(language: str) -> dict[str, str]:
    """Return every text of the page in a language: that of the visitor, whatever the server's own is."""
    catalogue = translations(language)
    return {name: catalogue.gettext(text) for name, text in _WORDS.items()} | {
        "other_language": OTHER_LANGUAGE[language]
    }
