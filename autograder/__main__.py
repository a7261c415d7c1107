"""`python -m autograder` is the command `autograder`."""

from autograder.tool import main

if __name__ == "__main__":
    main()
