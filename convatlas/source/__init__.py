"""Definition to an equivalent stand-alone module file, as text."""
