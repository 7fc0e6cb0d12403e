"""What the papers and documents claim, each held against our own count."""
