"""From what a platform's download holds to nbgrader's folder `submitted/`."""
