"""The grading engine: submissions are rebuilt, run in a sandbox, examined from outside, and their verdicts stored."""
