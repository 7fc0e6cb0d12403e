"""Metrics, crops, ensembles, confusion, the classical baselines."""
