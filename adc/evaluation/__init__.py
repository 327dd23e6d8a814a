"""Comparisons of restorers: metrics of image pairs, costs, and the report."""
