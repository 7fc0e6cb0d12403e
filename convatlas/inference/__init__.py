"""Predict, optimize, quantize, export, benchmark."""

from convatlas.inference.optimize import Optimized, optimize

__all__ = ["Optimized", "optimize"]
