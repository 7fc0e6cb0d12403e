"""The words of a figure, in English and in Chinese."""

from __future__ import annotations

from convatlas.analysis.depth import depth
from convatlas.define import Combinator, Elaborated, Network, Placed
from convatlas.errors import MisuseError

LANGUAGES = ("en", "zh")

_WORDS: dict[str, tuple[str, str]] = {
    "concat": ("concat", "拼接"),
    "input": ("input", "输入"),
    "parameters": ("parameters", "参数"),
    "mult-adds": ("mult-adds", "乘加"),
    "layers": ("layers deep", "层"),
    "training only": ("training only", "仅训练时"),
    "vector": ("vector", "向量"),
    "repeated": ("repeated block", "重复块"),
    "sum": ("sum", "相加"),
    "product": ("product", "相乘"),
    "projection": ("shortcut that changes the shape", "改变形状的捷径"),
    "bus": ("all before it", "此前所有输出"),
    "scale": ("residual, scaled", "残差缩放"),
    "survival": ("share of training steps that keep the block", "训练中保留该块的概率"),
    "block": ("block", "模块"),
    "residual": ("residual", "残差"),
    "branches": ("branches", "分支"),
    "dense": ("dense", "密集连接"),
    "gate": ("gate", "门控"),
    "towers": ("towers", "双塔"),
    "conv": ("layers", "层"),
    "top-1": ("top-1", "top-1"),
    "error": ("error", "错误率"),
    "accuracy": ("accuracy", "正确率"),
    "maps": ("feature maps", "特征图"),
}


def say(word: str, lang: str = "en") -> str:
    """A word of the figure in one language; MisuseError names the languages there are."""
    if lang not in LANGUAGES:
        raise MisuseError(f"language {lang!r}; there are {' and '.join(LANGUAGES)}")
    return _WORDS[word][LANGUAGES.index(lang)]


def block(placed: Placed, lang: str = "en") -> str:
    """A closed block in a few words: residual, 3 layers."""
    names = {
        "Concat": "branches",
        "Residual": "residual",
        "Dense": "dense",
        "Gate": "gate",
        "Towers": "towers",
    }
    node = placed.node
    assert isinstance(node, Combinator)
    word = say(names.get(type(node).__name__, "block"), lang)
    count = depth(Elaborated(Network(input=placed.input), placed))
    return f"{word}, {count} {say('conv', lang)}" if lang == "en" else f"{word}，{count} {say('conv', lang)}"
