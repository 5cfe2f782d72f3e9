"""Forms of one character: traditional and simplified ones, and the variants that old prints have.

The table ships as `data/traditional.tsv`, made from OpenCC by `bench/make_traditional_table.py`. Where OpenCC itself
is installed it converts whole lines, since words tell apart what characters alone do not: 发 is 發 in 出发, 髮 in 头发.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

_TABLE = Path(__file__).parents[1] / "data" / "traditional.tsv"

# Printed variants of common characters, which OpenCC does not take for traditional ones: variant, then standard form.
_VARIANTS = """
隠隐 疎疏 踈疏 簷檐 鴈雁 鬰郁 髪发 頼赖 浄净 徧遍 慙惭 鶑莺 鸎莺 粧妆 劒剑 鬭斗 鬬斗 媿愧 蘂蕊 臯皋
僊仙 猨猿 髙高 鼇鳌 巵卮 馿驴 煖暖 嬾懒 賸剩 覩睹 牋笺 妬妒 隣邻 餠饼 罇樽 閙闹 隄堤 懽欢 驩欢 寛宽
彊强 椀碗 盌碗 懃勤 鉏锄 筯箸 峩峨 鳯凤 袴裤 毬球 缾瓶 堦阶 虀齑 畧略 燄焰 迺乃 遯遁 飖摇 揺摇 犂犁
鏁锁 鼈鳖 崄险 飜翻 廻回 囘回 麤粗 羃幂 悮误 箠棰 欵款 邉边 磵涧 羮羹 栢柏 槩概 覊羁 羇羁 秔粳 嚬颦
歳岁 蔕蒂 竝并 暎映 幙幕 緜绵 歘欻 桮杯 壻婿 醆盏 纒缠 姪侄 薫薰 輙辄 讐仇 頳赪 搆构 箎篪 牓榜 朶朵
碁棋 毎每 蠧蠹 諠喧 憇憩 螘蚁 呌叫 鵶鸦 瓌瑰 柂舵 倐倏 皷鼓 藂丛 荅答 閴阒 邨村 躭耽 徴征 濶阔 懐怀
鎗枪 蕚萼 粃秕 氊毡 葅菹 渇渴 効效 揜掩 戯戏 逺远 楯盾 棃梨 塲场 様样
"""
STANDARD_FORMS = {ord(pair[0]): pair[1] for pair in _VARIANTS.split()}


@dataclass(frozen=True)
class Reading:
    """How a line is put before a model that lacks some of its characters.

    Attributes:
        text: the line as the model sees it, of the same length.
        is_traditional: the line is in traditional characters, and so shall the answer be.
        variants: characters of the line that are read by another form, and that form.
    """

    text: str
    is_traditional: bool = False
    variants: tuple[tuple[str, str], ...] = ()


def read_as_known(line: str, knows: Callable[[str], bool]) -> Reading:
    """Return `line` with the characters that a model lacks in forms that it knows, as far as there are any.

    Two different characters of a line never become one: the answer would repeat where the line does not.
    """
    unknown = [char for char in dict.fromkeys(line) if not knows(char)]
    if not unknown:
        return Reading(line)
    simplified, _ = _tables()
    is_traditional = any(knows(simplified.get(char, char)) for char in unknown)
    text = _converted(line, "t2s", simplified) if is_traditional else line
    variants = {char: STANDARD_FORMS[ord(char)] for char in unknown if ord(char) in STANDARD_FORMS}
    variants = {char: form for char, form in variants.items() if char in text and knows(form)}
    text = "".join(variants.get(char, char) for char in text)
    if len(set(text)) != len(set(line)):
        return Reading(line)
    return Reading(text, is_traditional, tuple(variants.items()))


def in_traditional(
    line: str, avoid: AbstractSet[str] = frozenset(), given: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return a line of simplified characters in traditional ones, which keeps its pattern of repetition.

    Each character has one form wherever it stands, and no two have the same: a form that is taken, or among those to
    `avoid` (the upper line's), is left out, and the character stays as it is. Forms that are `given` stand.
    """
    _, traditional = _tables()
    converted = _converted(line, "s2t", traditional)
    form_of: dict[str, str] = {}
    for char, form in zip(line, converted, strict=True):
        if form_of.setdefault(char, form) != form:
            form_of[char] = traditional.get(char, char)
    form_of |= given
    taken = avoid | {form for char, form in form_of.items() if form == char or char in given}
    for char, form in form_of.items():
        if form != char and char not in given:
            form_of[char] = char if form in taken else form
            taken |= {form_of[char]}
    return "".join(form_of[char] for char in line)


def _converted(line: str, direction: str, table: dict[str, str]) -> str:
    """Convert by OpenCC where it is installed and keeps the length, else character by character."""
    convert = _opencc(direction)
    whole = convert(line) if convert else ""
    return whole if len(whole) == len(line) else "".join(table.get(char, char) for char in line)


@cache
def _opencc(direction: str) -> Callable[[str], str] | None:
    if importlib.util.find_spec("opencc") is None:
        return None
    from opencc import OpenCC

    return OpenCC(direction).convert


@cache
def _tables() -> tuple[dict[str, str], dict[str, str]]:
    """Return the simplified form of each traditional character, and the usual traditional form of simplified ones."""
    rows = [line.split("\t") for line in _TABLE.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    return {row[0]: row[1] for row in rows}, {row[1]: row[0] for row in rows if row[2] == "1"}
