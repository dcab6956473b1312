"""Measurements: training steps beside other libraries (`make bench`); other questions in own files."""
