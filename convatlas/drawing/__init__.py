"""Pictures of definitions and of numbers: terminal, SVG, page. No torch."""
