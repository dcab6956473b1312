"""Data sets, loaders, and what prepares data."""
