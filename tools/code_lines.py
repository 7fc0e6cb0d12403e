"""Count lines of code as the budget does: `python tools/code_lines.py FILE...`.

Blanks, comments, docstrings, imports and published facts or weight metadata are left out; all else counts.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

LEFT_OUT = ("facts", "__all__", "default_cfgs", "_COMMON_META", "_COMMON_SWAG_META", "_cfg", "model_urls")
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def is_left_out(node: ast.AST) -> bool:
    """Say whether a statement is left out: what was published, in our form or torchvision's or timm's; imports."""
    match node:
        case ast.FunctionDef(name=name):
            return name in LEFT_OUT
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.ClassDef(name=name):
            return name.endswith("_Weights")
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in LEFT_OUT
    return False


def code_lines(source: str) -> int:
    """Lines of `source` that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):  # a docstring
                pass
            case ast.stmt() if is_left_out(node):
                pass
            case _:
                continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        lines.difference_update(range(first, (node.end_lineno or first) + 1))
    return len(lines)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(f"{code_lines(Path(path).read_text(encoding='utf-8')):6}  {path}")
