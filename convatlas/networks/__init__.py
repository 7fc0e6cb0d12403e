"""One file a family, in order of history; the catalogue is an explicit table."""
