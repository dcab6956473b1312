"""Draw graphs, and plot what training and models do."""
