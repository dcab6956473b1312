"""The same training steps in each library: `CASES` maps the name of a case to the maker of its step.

A maker builds model, data and optimizer in float32 and returns a function that makes one step: forward, loss,
backward, update. Data are drawn by `data.py`, alike for all.
"""
