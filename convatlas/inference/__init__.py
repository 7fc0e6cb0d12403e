"""Predict, optimize, quantize, export, benchmark."""
