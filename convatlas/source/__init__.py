"""Definition to an equivalent stand-alone module file, as text. No torch needed to write it."""

from convatlas.source.module_file import module_source

__all__ = ["module_source"]
