"""What the grader and the sandboxed process both speak."""
