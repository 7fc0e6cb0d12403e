"""Experiments that reproduce what the papers claim."""
