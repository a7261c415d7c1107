"""What runs in the grader: it reads submissions, sandboxes them, judges, stores and shows."""
