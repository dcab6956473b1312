"""The experiments of the Deep Learning Specialization, one script each, compared with what its notebooks print.

`tinygrad-dl course` lists and runs them; each script also runs by itself: `python examples/course/planar_flower.py`.
"""

if __name__ != "tinygrad_dl.course":
    raise ImportError("this folder is the package tinygrad_dl.course: write `from tinygrad_dl import course`")

# In the order of the courses; first the experiments with published results.
PUBLISHED = (
    "cats_logistic",
    "planar_flower",
    "cats_two_layer",
    "cats_deep",
    "initialization",
    "regularization",
    "gradient_checking",
    "optimizers",
)
FURTHER = (
    "activation_and_start",
    "batch_norm",
    "batch_norm_graph",
    "few_digits",
    "adaptive_rates",
    "rate_decays",
    "batch_sizes",
    "augmentation",
    "early_stopping",
    "random_and_grid_search",
    "digits_cnn",
    "mnist_cnn",
    "softmax_regression",
    "im2col",
    "covariate_shift",
)
EXPERIMENTS = PUBLISHED + FURTHER

__all__ = ["EXPERIMENTS", "FURTHER", "PUBLISHED"]
