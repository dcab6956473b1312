"""The same training steps in each library: `CASES` maps the name of a case to a function that builds its step.

It builds model, data and optimizer in float32 and returns a function that runs one step: forward, loss,
backward, update. The data come from `data.py`, the same for all.
"""
