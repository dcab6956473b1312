"""The graph model: what a diagram shows, extracted from a computation graph, before any format is chosen."""
