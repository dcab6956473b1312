"""What exists for speed: arrays in, arrays out.

Each kernel is named beside a plain forward in ops/, and tests/kernels holds the two against each other. It says what
it is faster than, by how much, and which command shows it. Kernels import NumPy and the ground floor only.
"""
