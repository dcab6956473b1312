"""Plots drawn with matplotlib: learning curves, decision boundaries, confusion matrices, layer statistics."""
