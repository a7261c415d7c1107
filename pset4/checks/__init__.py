"""Visible checks: run one after answering, and it says in one line that all is good, or what is wrong.

A wrong answer is told in stages: `hint=1` (what was seen on a small input), `hint=2` (the idea), `hint=3` (the
formula). `summary()` shows what the checks of this kernel have found so far.
"""

from pset4.checks.failure import CheckFailed
from pset4.checks.problem1 import p1a_conv1d, p1b_maxpool1d
from pset4.checks.problem2 import p2a_last_layer, p2b_probabilities, p2b_top_predictions, p2c_corgi
from pset4.checks.problem3 import (
    p3a_backward_input,
    p3a_conv_matrix,
    p3b_backward_kernel,
    p3b_update,
    p3d_maxpool_backward,
)
from pset4.checks.problem4 import (
    p4a_attack,
    p4a_tarantula,
    p4b_tiger_cat,
    p4d_layer_norm,
    p4e_robust,
    p4f_images,
    p4g_inversion,
)
from pset4.checks.stages.summary import summary

__all__ = [
    "CheckFailed",
    "p1a_conv1d",
    "p1b_maxpool1d",
    "p2a_last_layer",
    "p2b_probabilities",
    "p2b_top_predictions",
    "p2c_corgi",
    "p3a_backward_input",
    "p3a_conv_matrix",
    "p3b_backward_kernel",
    "p3b_update",
    "p3d_maxpool_backward",
    "p4a_attack",
    "p4a_tarantula",
    "p4b_tiger_cat",
    "p4d_layer_norm",
    "p4e_robust",
    "p4f_images",
    "p4g_inversion",
    "summary",
]
