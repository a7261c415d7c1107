"""The networks of the course, and the files that they come from."""
