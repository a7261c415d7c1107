"""The nbgrader course: notebooks with solutions, hidden exams, the bank of answers and the grading engine."""

import pset4  # noqa: F401 - first of all: it says how torch's threads wait, which torch reads when it is imported
