"""Moves whatever can be moved in an explorer, by keys and by mouse, and waits until picture or sentence follow."""

from __future__ import annotations

from playwright.sync_api import Locator
from playwright.sync_api import TimeoutError as NotInTime

FOLLOWS = 15_000  # milliseconds; how fast an explorer is, `benchmarks/explorers.py` measures
PRESSED = "input[type=checkbox], input[type=radio], button"
DRAGGED = "input[type=range], [role=slider]:not(.pset4-handle [role=slider]), .pset4-handle"
# What a reader sees of an explorer, besides its controls.
SEEN = """(root) => root.querySelector(".pset4-picture").innerHTML + root.querySelector(".pset4-words").textContent"""
FOLLOWED = f"([root, before]) => ({SEEN})(root) !== before && !root.querySelector('.pset4-old')"
# Least and largest value, and the value now.
NUMBERS = """(e) => (e.localName === "input" ? [e.min, e.max, e.value]
  : ["min", "max", "now"].map((end) => e.getAttribute("aria-value" + end))).map(Number)"""


def move_by_keys(explorer: Locator) -> list[str]:
    """Presses a key on every slider, bar, switch, choice and button; returns those that nothing followed, by name."""
    deaf = []
    for thing in _things(explorer, f"{PRESSED}, input[type=range], [role=slider], select"):
        before = explorer.evaluate(SEEN)
        thing.focus()
        thing.press(_key(thing))
        if not _followed(explorer, before):
            deaf.append(f"{_name(thing)}, by keys")
        elif not thing.evaluate("(e) => e === document.activeElement"):
            deaf.append(f"{_name(thing)} loses the focus")
    return deaf


def move_by_mouse(explorer: Locator) -> list[str]:
    """Drags every slider, bar and point, and clicks on the rest; returns the names of those that nothing followed."""
    deaf = []
    for thing in _things(explorer, f"{PRESSED}, {DRAGGED}"):
        before = explorer.evaluate(SEEN)
        if thing.evaluate("(e, pressed) => e.matches(pressed)", PRESSED):
            thing.click()
        else:
            _drag(thing)
        if not _followed(explorer, before):
            deaf.append(f"{_name(thing)}, by mouse")
    return deaf


def _things(explorer: Locator, selector: str) -> list[Locator]:
    return explorer.locator(".pset4-live").locator(selector).locator("visible=true").all()


def _name(thing: Locator) -> str:
    """What a screen reader calls it."""
    return str(
        thing.evaluate("(e) => e.getAttribute('aria-label') || e.closest('label')?.innerText || e.innerText || e.id")
    )


def _key(thing: Locator) -> str:
    """A key that changes its value."""
    kind = thing.evaluate("(e) => e.getAttribute('role') || (e.localName === 'input' ? e.type : e.localName)")
    if kind in ("checkbox", "radio", "button"):
        return "Space"
    if kind == "select":
        last = thing.evaluate("(e) => e.selectedIndex === e.options.length - 1")
        return "ArrowUp" if last else "ArrowDown"
    _, high, now = thing.evaluate(NUMBERS)
    upright = thing.get_attribute("aria-orientation") == "vertical"
    return ("ArrowUp" if upright else "ArrowRight") if now < high else ("ArrowDown" if upright else "ArrowLeft")


def _drag(thing: Locator) -> None:
    """To the end that is farther from where it stands; a point, towards the middle."""
    thing.scroll_into_view_if_needed()
    box, mouse = thing.bounding_box(), thing.page.mouse
    assert box, f"{_name(thing)} is not to be seen"
    if thing.evaluate("(e) => e.matches('.pset4-handle')"):
        x, y, there = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, _middle(thing)
        ends = [(x, y), (x + (there[0] - x) / 2, y + (there[1] - y) / 3 + 7)]
    else:
        low, high, now = thing.evaluate(NUMBERS)
        upright = thing.get_attribute("aria-orientation") == "vertical"
        places = (0.6, 0.12) if (now - low) / (high - low) > 0.5 else (0.4, 0.88)
        shares = [(0.5, 1 - place) if upright else (place, 0.5) for place in places]
        ends = [(box["x"] + box["width"] * across, box["y"] + box["height"] * down) for across, down in shares]
    for (x, y), act in zip(ends, (mouse.down, mouse.up), strict=True):
        mouse.move(x, y, steps=4)
        act()


def _middle(thing: Locator) -> tuple[float, float]:
    left, top, width, height = thing.evaluate(
        "(e) => { const b = e.ownerSVGElement.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }"
    )
    return left + width / 2, top + height / 2


def _followed(explorer: Locator, before: str) -> bool:
    try:
        explorer.page.wait_for_function(FOLLOWED, arg=[explorer.element_handle(), before], timeout=FOLLOWS)
    except NotInTime:
        return False
    return True
