"""What the course is: its contract, its folders, its seeds, and what nbgrader is told of its notebooks."""
