"""The bank: right and wrong answers to every exercise, as a student would type them.

One Markdown file in `cells/` for each exercise. A section is one answer:

    ## Wrong: the kernel is not flipped
    - loses: kernel is flipped; every value
    - misconception: cross_correlation

    ```python
    def conv1d(x_in, kernel): ...
    ```

Right answers start with `## Right:` and have no list; `## Reference:` is the one that stands in the source notebook.
With several code blocks, the last is the answer cell and the others are cells of the student before it; a block that is
headed ```python <exercise> stands in the answer cell of an exercise that has no points of its own. A section
`## Cell: name` holds a cell that every answer gets which uses `name`. `- loses: everything` stands for all
properties.
`- check: none` says that the visible check cannot tell this answer from a right one.
"""

from autograder.answers.bank import Answer, all_answers, answers_for, exercises, reference

__all__ = ["BANK", "Answer", "all_answers", "answers_for", "exercises", "reference"]

BANK = all_answers()
