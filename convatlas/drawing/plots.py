"""Plots as SVG text, without a plotting library: `line_chart`, `bars`, `heat_map`, `scatter`.

Each answers one self-contained SVG in the colors of `theme.py`, with tooltips and without scripts.
"""

from convatlas.drawing.charts import bars, line_chart
from convatlas.drawing.heat_map import heat_map
from convatlas.drawing.scatter import Dot, scatter

__all__ = ["Dot", "bars", "heat_map", "line_chart", "scatter"]
