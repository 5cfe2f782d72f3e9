"""What the page says, in both languages: each text whole, none put together from pieces."""

from __future__ import annotations

from recipe.web.requests import CHINESE, ENGLISH

# Upper lines written for this project.
EXAMPLES = ("春满神州花似锦", "一帘细雨，数点寒梅", "窗前翠竹迎风舞", "山山水水处处明明秀秀", "海阔凭鱼跃")

_WORDS = {
    "title": ("对联", "Couplets"),
    "headline": ("你出上联，我对下联", "You write the upper line, it writes the lower"),
    "introduction": (
        "字数、标点、复字一一对应，下联不用上联的字：格式由解码保证，不靠运气。",
        "Equal length, mirrored punctuation and repetition, no character of the upper line: decoding holds the form.",
    ),
    "other_language": ("English", "中文"),
    "upper": ("上联", "Upper line (上联)"),
    "placeholder": ("例如：春满神州花似锦", "For example 春满神州花似锦"),
    "answer": ("对下联", "Answer"),
    "examples": ("试试这些", "Try one of these"),
    "way": ("写什么", "What to write"),
    "way_answer": ("对下联", "Answer an upper line"),
    "way_acrostic": ("藏头联", "Acrostic (藏头)"),
    "way_theme": ("题词成联", "Couplet with a word"),
    "given_acrostic": ("藏头的两个字", "Two characters, the first of each line"),
    "given_theme": ("上联里要有的词", "A word for the upper line"),
    "placeholder_acrostic": ("例如：春福", "For example 春福"),
    "placeholder_theme": ("例如：明月", "For example 明月"),
    "caption_acrostic": ("藏头“{given}”，上下联都是模型写的", "Acrostic of {given}; both lines are the model's"),
    "caption_theme": (
        "上联含“{given}”，上下联都是模型写的",
        "{given} stands in the upper line; both lines are the model's",
    ),
    "line_length": ("每行字数（藏头联、题词成联）", "Characters of a line (acrostic, couplet with a word)"),
    "settings": ("设置", "Settings"),
    "n": ("下联数量", "Lower lines"),
    "best_of": ("从多少个里选最好的", "Best of how many"),
    "tones": ("平仄", "Tones"),
    "tones_off": ("不管", "Ignore"),
    "tones_prefer": ("尽量相对", "Prefer opposed"),
    "tones_strict": ("必须相对", "Demand opposed"),
    "temperature": ("温度（越高越新奇）", "Temperature (higher is more surprising)"),
    "top_k": ("top-k（0 为不限）", "Top-k (0 for all)"),
    "top_p": ("top-p", "Top-p"),
    "banned_words": ("避用词（用空格隔开）", "Words to avoid, with spaces between"),
    "seed": ("随机种子（空着每次不同）", "Seed (empty: different every time)"),
    "heading": ("横批（自己写，从右往左挂在上方）", "Heading (横批), written by you, hung above"),
    "compare": ("两个模型对比", "Compare both models"),
    "show_tones": ("标注平仄", "Show tones (平 level, 仄 oblique, 中 either)"),
    "copy_lines": ("复制", "Copy"),
    "copied_lines": ("已复制", "Copied"),
    "png": ("存为 PNG", "Save PNG"),
    "svg": ("存为 SVG", "Save SVG"),
    "form": ("格式", "Form"),
    "length": ("字数相等", "equal length"),
    "punctuation": ("标点对应", "marks mirrored"),
    "repetition": ("复字对应", "repetition mirrored"),
    "shared_character": ("不重上联字", "no shared character"),
    "foreign_character": ("全是汉字", "Chinese characters only"),
    "tone_share": ("平仄相对", "Tones opposed"),
    "tone_help": (
        "逢双的字和末字中，平仄相对的占多少",
        "Share of the even positions and the last whose tones are opposed",
    ),
    "score": ("模型评分", "Model's score"),
    "score_help": (
        "模型给每个字的对数概率的平均值，0 为最高",
        "Mean log-probability of a character by the model itself; 0 is certainty",
    ),
    "parallelism": ("对仗", "Parallelism"),
    "parallelism_help": (
        "两行对应的字在已知对联里相对的程度，0 相当于随机，越高越好",
        "How often such characters answer each other in known couplets, in nats; 0 is chance, more is better",
    ),
    "unknown": ("模型不认识这些字，没有参考它们：", "The model does not know these characters and could not see them:"),
    "waiting": ("下联会写在这里", "The lower lines will hang here"),
    "footer": (
        "全部在这台机器上运行，不联网，不留下你写的内容。",
        "Everything runs on this machine; nothing is sent elsewhere, and nothing you write is kept.",
    ),
    "footer_interface": ("给程序用的接口", "For programs"),
}


def words_of(language: str) -> dict[str, str]:
    """Return every text of the page in a language."""
    place = (CHINESE, ENGLISH).index(language)
    return {name: texts[place] for name, texts in _WORDS.items()}
