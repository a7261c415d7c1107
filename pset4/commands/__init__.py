"""The commands of `pset4`, one a module: each has `run(options)`, which prints and returns the exit status."""
