"""Write a network to a file that other programs read, and prove that the file is right."""

from convatlas.inference.export.export import Exported, export
from convatlas.inference.export.formats import FORMATS

__all__ = ["FORMATS", "Exported", "export"]
