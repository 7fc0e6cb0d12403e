"""Datasets, decoding, preprocessing, loading, augmentation."""
