"""Fills in what other systems gave: Canvas, Moodle, Gradescope. Which points a student has is decided elsewhere."""
