"""Cost, receptive field, layer table, comparison, memory. No torch."""
