"""The training loop, its history and callbacks, and scikit-learn estimators."""
