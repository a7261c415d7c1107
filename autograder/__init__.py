"""The nbgrader course: notebooks with solutions, hidden exams, the bank of answers and the grading engine."""
