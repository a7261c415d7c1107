"""The questions that the notebooks ask before they show a result; here, so that no answer stands in a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question without points.

    Attributes:
        text: What is asked; a name in braces is filled in by the notebook.
        reasons: Choice -> why it is right or wrong.
        right: The right choice; "" where the notebook says it, because it depends on what was computed.
    """

    text: str
    reasons: Mapping[str, str]
    right: str = ""


QUESTIONS: Mapping[str, Question] = {
    "edges": Question(
        "The signal is about 0, and from n = 30 on about 1. It is averaged, and then the difference of neighbours is "
        "taken. Where does the layer see a strong edge?",
        {
            "only at the step": "There is one more. What does the layer find beyond the last value?",
            "at the step and at the right end": "The signal ends at 1, and beyond its end there are zeros: the layer "
            "sees an edge that is not there. Padding is never free.",
            "at the step and at both ends": "There are zeros beyond both ends, but on the left the signal is about 0 "
            "itself. From 0 to 0 is no edge.",
        },
        "at the step and at the right end",
    ),
    "shift": Question(
        "A signal with two lone peaks and its copy, moved by one, have the likeness {before:.2f}. What becomes of it "
        "when both are pooled with windows of {size}?",
        {
            "it stays small": "A peak fills all the windows that it lies in. Most of them see the moved peak as well.",
            "about a half": "That would be so if half of a peak's windows lost it. How many does it leave when it "
            "moves by one?",
            "close to 1": "Of the {size} windows that a peak wins, it leaves only one when it moves by one, and enters "
            "another. The rest of the signal looks the same.",
        },
        "close to 1",
    ),
    "noise": Question(
        "How many of the five classes that the random network named for the dog does it name for noise, too?",
        {
            "none or one": "There are a thousand classes, so this would be chance. But the weights are the same both "
            "times.",
            "two or three": "So the image would decide half of it. It decides less: what do the random weights prefer?",
            "four or five": "The random weights prefer some classes, whatever stands in the image. And a high number "
            "in the chart is no sign of knowledge: it says how large a logit is. Keep that in mind for problem 4.",
        },
        "four or five",
    ),
    "variants": Question(
        "Unchanged, the photo is “{unchanged}” to the network. Which changes make it say something else?",
        {
            "mirrored": "Networks are trained on mirrored photos, too, and the parts of a mirrored dog are the same.",
            "grey": "Shape and texture stay. Without its colours, the network is less sure.",
            "upside down": "Hardly any photo of the training set stands on its head.",
            "enlarged": "The ears and the legs are cut off, and the fur is twice as coarse as in the training photos.",
            "shuffled": "Every tile keeps its texture, and the shape of the dog is gone.",
        },
    ),
    "cost": Question(
        "The learning rate is the same in all 60 steps. How does the cost fall?",
        {
            "by the same amount in each step": "The rate stays, but a step is the rate times the gradient. What "
            "becomes of the gradient?",
            "fast at first, then ever more slowly": "The gradient is made of the errors. As they shrink, so does each "
            "step.",
            "slowly at first, then ever faster": "It would have to be steeper near the goal. This cost is a bowl: it "
            "is flat there.",
        },
        "fast at first, then ever more slowly",
    ),
    "tie": Question(
        "What do finite differences, up and down by h, say of the two inputs that tie?",
        {
            "1 and 0": "They treat both inputs alike. One of the two can only be favoured by a rule, such as yours or "
            "autograd's.",
            "0.5 and 0.5": "Upwards the slope is 1, downwards 0. They return the average of the two, which is no "
            "derivative.",
            "1 and 1": "That is the slope upwards. Downwards nothing happens, since the other input is still there.",
        },
        "0.5 and 0.5",
    ),
    "layers": Question(
        "The budget is {share:.1%} of the photo's own L2 norm. How much larger can the features of a layer become?",
        {
            "by about as much": "That would be so if each layer passed on what it gets. Some patterns are amplified by "
            "all its weights at once.",
            "several times as large": "A layer answers strongly to few patterns. A change that consists of nothing "
            "else is tiny in the image, and large behind the layer.",
            "they cannot grow": "Any number that depends on the image can be pushed, and you have its gradient.",
        },
        "several times as large",
    ),
    "budgets": Question(
        "Will the robust network give in, too, before the budget is 64?",
        {
            "no, that is what robust means": "Robust does not mean that a network cannot be fooled. It means that "
            "fooling it costs more.",
            "yes, at about twice the standard network's budget": "It was trained against an adversary with a budget of "
            "its own. How large a change does it stand?",
            "yes, at many times the standard network's budget": "Fooling it costs more, and the price is visible: look "
            "at the image that it takes.",
        },
        "yes, at many times the standard network's budget",
    ),
}
