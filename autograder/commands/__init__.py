"""What an instructor's commands do: run nbgrader, build the sample class, show the table, export."""
