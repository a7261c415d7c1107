"""One call of a student's function: what it is given, what is observed, what came of it."""
