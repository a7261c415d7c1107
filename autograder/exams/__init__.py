"""Hidden exams: they decide the points, and say why."""
