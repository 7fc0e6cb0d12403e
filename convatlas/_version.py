"""The version, alone in a file so that the lowest room may read it without the lazy face."""

__version__ = "0.1.0"
