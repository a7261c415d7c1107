"""What students may have of this course, and how it gets into a repository of theirs."""
