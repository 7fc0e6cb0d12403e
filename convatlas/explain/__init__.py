"""Filters, feature maps, Grad-CAM, occlusion."""
