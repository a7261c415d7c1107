"""What runs beside a student's code, in the sandbox."""
