"""Files that the course uses: where they come from, how they get here."""
