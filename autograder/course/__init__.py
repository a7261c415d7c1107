"""The course as nbgrader knows it: contract, release, sample class, table, export."""
