"""The colours of ConvAtlas: one a kind of operation, the same in table, figure, page and plot.

The hues are Okabe and Ito's eight (Color Universal Design, 2008), which people with any common form of
colour blindness tell apart, lightened into fills that carry dark text in the light theme and darkened into
fills that carry light text in the dark one; the line of a box keeps the full hue. A test simulates the three
dichromacies (Machado et al. 2009) and holds the fills apart.
"""

from __future__ import annotations

import re
from typing import Literal

Theme = Literal["auto", "light", "dark"]
THEMES: tuple[Theme, ...] = ("auto", "light", "dark")

# Kinds of operation. Each has a fill and a line; the terminal's number is from the 256-color cube.
KINDS: tuple[str, ...] = (
    "conv", "depthwise", "linear", "pool", "norm", "activation", "dropout", "reshape", "gate", "join", "io",
)  # fmt: skip

# name -> (light, dark)
COLORS: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#14181d"),
    "ink": ("#1a1f26", "#e8ecf1"),
    "muted": ("#59636f", "#a3adb9"),
    "faint": ("#d6dbe1", "#3a424c"),
    "wire": ("#4a545f", "#aab4c0"),
    "band": ("#f3f5f8", "#1c2229"),
    "band-alt": ("#e9edf2", "#242b34"),
    "card": ("#fbfcfd", "#191e24"),
    "conv": ("#a9c7fa", "#204f9b"),
    "conv-line": ("#0f62a8", "#66aeee"),
    "depthwise": ("#caeff8", "#1d3f55"),
    "depthwise-line": ("#138aa3", "#5ccfe3"),
    "linear": ("#f7a877", "#7c3618"),
    "linear-line": ("#bb4a00", "#ff9a5c"),
    "pool": ("#86d3b1", "#0a633c"),
    "pool-line": ("#007a58", "#3fce9f"),
    "norm": ("#e3ebdd", "#3e433e"),
    "norm-line": ("#837d68", "#b0a98f"),
    "activation": ("#fbed93", "#6c6305"),
    "activation-line": ("#9c8700", "#e8d53e"),
    "dropout": ("#f4f4f5", "#2c3036"),
    "dropout-line": ("#8d9299", "#8d959f"),
    "reshape": ("#d3b7d8", "#543575"),
    "reshape-line": ("#6d4aad", "#ab8df0"),
    "gate": ("#f0aacd", "#7a2350"),
    "gate-line": ("#b0346f", "#f07ab5"),
    "join": ("#ffffff", "#14181d"),
    "join-line": ("#3d4650", "#c3ccd6"),
    "io": ("#ffffff", "#14181d"),
    "io-line": ("#59636f", "#a3adb9"),
    "series1": ("#0f62a8", "#66aeee"),
    "series2": ("#d55e00", "#ff8a3d"),
    "series3": ("#00845f", "#3fce9f"),
    "series4": ("#b0346f", "#f07ab5"),
    "series5": ("#a68a00", "#e8d53e"),
    "series6": ("#2f9fd0", "#5ccfe3"),
    "series7": ("#6d4aad", "#ab8df0"),
    "series8": ("#59636f", "#a3adb9"),
}
SERIES: tuple[str, ...] = tuple(f"series{index}" for index in range(1, 9))

# The 256-color number of each kind, for the terminal; near the line color, legible on black and on white.
TERMINAL: dict[str, int] = {
    "conv": 32, "depthwise": 37, "linear": 166, "pool": 35, "norm": 101, "activation": 136,
    "dropout": 244, "reshape": 98, "gate": 168, "join": 245, "io": 245,
}  # fmt: skip

_VARIABLE = re.compile(r"var\(--ca-([a-z0-9-]+)\)")
_TOKEN = re.compile(r"\b([fs])-([a-z][a-z0-9-]*)")
_CLASS = re.compile(r'class="([^"]*)"')
_AUTO_STYLE = re.compile(r"/\*theme\*/.*?/\*end\*/", re.DOTALL)


def color(name: str, theme: Theme = "light") -> str:
    """The hexadecimal value of a color in one theme (`auto` answers the light one)."""
    return COLORS[name][1 if theme == "dark" else 0]


def variables(theme: Theme = "light", names: tuple[str, ...] | None = None) -> str:
    """CSS declarations `--ca-NAME:#rrggbb` of the colors (all, or those named), without braces."""
    return ";".join(f"--ca-{name}:{color(name, theme)}" for name in names or tuple(COLORS))


def stylesheet(body: str, theme: Theme = "auto") -> str:
    """CSS for the color classes that `body` uses: `f-NAME` fills with a color, `s-NAME` strokes with it.

    In `auto` each rule gives the light value first and the variable second, so that a viewer without CSS
    variables still shows the light figure; the page that holds the figure overrides the system's choice by
    `data-theme` on any element around it. `light` and `dark` give plain values, which every viewer knows.
    """
    tokens = {token for classes in _CLASS.findall(body) for token in _TOKEN.findall(classes)}
    used = sorted((kind, name) for kind, name in tokens if name in COLORS)
    rules = []
    for kind, name in used:
        prop = "fill" if kind == "f" else "stroke"
        value = f"{prop}:{color(name, theme)}"
        rules.append(f".ca .{kind}-{name}{{{value}{f';{prop}:var(--ca-{name})' if theme == 'auto' else ''}}}")
    if theme != "auto":
        return "".join(rules)
    names = tuple(sorted({name for _, name in used}))
    if not names:
        return ""
    light, dark = variables("light", names), variables("dark", names)
    themes = (
        f".ca{{{light}}}@media(prefers-color-scheme:dark){{.ca{{{dark}}}}}"
        f"[data-theme=light] .ca{{{light}}}[data-theme=dark] .ca{{{dark}}}"
    )
    return f"/*theme*/{themes}/*end*/{''.join(rules)}"


def resolve(svg: str, theme: Literal["light", "dark"] = "light") -> str:
    """An `auto` figure with the colors of one theme written out, for viewers and converters without CSS variables."""
    svg = _AUTO_STYLE.sub("", svg)
    svg = re.sub(
        r"(fill|stroke):#[0-9a-f]{6};\1:var\(--ca-([a-z0-9-]+)\)",
        lambda match: f"{match[1]}:{color(match[2], theme)}",
        svg,
    )
    return _VARIABLE.sub(lambda match: color(match[1], theme), svg)
