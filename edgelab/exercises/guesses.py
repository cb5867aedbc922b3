"""Predict first: a guess before the cell that measures."""

from __future__ import annotations

import html
import math
from typing import Any

from edgelab import display
from edgelab.errors import InputError, StorageError
from edgelab.exercises import number_line
from edgelab.exercises.progress_file import progress_update, read_progress
from edgelab.texts import tr

# Units that are things: of one there is no plural.
COUNTED = (
    "additions", "codes", "images", "loads", "networks", "operators", "paths", "pixels", "points", "rows",
    "sectors",
)  # fmt: skip


class Guess:
    """A prediction made before the measurement. `predict` makes it; `reveal` puts the measurement beside it.

    Attributes:
        key: chapter and name, such as "04.size".
        question: what is asked.
        unit: of a number.
        control: the ipywidgets slider or menu.
    """

    def __init__(self, key: str, question: str, unit: str, control: Any) -> None:
        self.key, self.question, self.unit, self.control = key, question, unit, control
        self.is_default = True
        control.observe(self._changed, names="value")

    @property
    def value(self) -> Any:
        """The guess as it stands now; the default when nobody has moved the control."""
        return self.control.value

    def _changed(self, change: dict[str, Any]) -> None:
        self.is_default = False
        self._record(guess=change["new"], is_default=False)

    def _record(self, **facts: Any) -> None:
        try:
            with progress_update() as record:
                entry = record["guesses"].setdefault(self.key, {})
                entry.update(facts)
        except StorageError:
            pass  # A full disk must not stop the lesson; the next check says so.

    def _choices(self) -> dict[str, Any]:
        """What could be guessed: options, or the ends of the slider."""
        if isinstance(self.value, str):
            return {"options": list(self.control.options)}
        return {"low": float(self.control.min), "high": float(self.control.max)}

    def _with_unit(self, value: Any) -> str:
        return with_unit(value, self.unit)

    def _comparison(self, measured: Any) -> str:
        """The guess beside what came out, as a person would say it."""
        measured, guess = self._with_unit(measured), self._with_unit(self.value)
        if measured == guess:
            return tr("The default guess was right.") if self.is_default else tr("You guessed right.")
        if self.is_default:
            return tr("The default guess was {guess}.", guess=guess)
        return tr("You guessed {guess}.", guess=guess)

    def reveal(self, measured: Any, provenance: str = "measured") -> None:
        """Show the guess beside the measurement, and record both.

        Args:
            measured: a number in the guess's unit, or one of the options.
            provenance: one of `display.PROVENANCES`: where it comes from, when it was not measured here.

        Raises:
            InputError: the provenance is unknown.
        """
        if provenance not in display.PROVENANCES:
            raise InputError(
                tr("There is no provenance {provenance!r}.", provenance=provenance),
                fix=tr("choose from {names}", names=", ".join(display.PROVENANCES)),
            )
        row = {
            **{"guess": _as_json(self.value), "measured": _as_json(measured), "provenance": provenance},
            **{"is_default": self.is_default, "question": self.question, "unit": self.unit},
            **self._choices(),
        }
        self._record(**row)
        came = tr(provenance).capitalize()
        fact, comparison = f"{came}: {self._with_unit(measured)}.", self._comparison(measured)
        display.show_html(
            f'<div role="status" style="border-left:4px solid {display.PALETTE[0]};padding:0.3em 0.8em">'
            f"{html.escape(self.question)}<br><b>{html.escape(fact)}</b> {html.escape(comparison)}"
            f"{number_line.svg(row) if number_line.fits(row) else ''}</div>",
            f"{self.question}\n{fact} {comparison}",
        )


def with_unit(value: Any, unit: str) -> str:
    """A number as one reads it, three digits of it, with its unit; an option as it is."""
    if isinstance(value, str):
        return value
    number = float(value)
    text = f"{number:,.0f}" if 1000 <= abs(number) < math.inf else f"{number:.3g}"
    return f"{text} {unit[:-1] if text == '1' and unit in COUNTED else unit}".rstrip()


def _as_json(value: Any) -> Any:
    return value if isinstance(value, str) else float(value)


def predict(
    key: str,
    question: str,
    *,
    default: Any,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    unit: str = "",
    options: list[str] | None = None,
) -> Guess:
    """Ask for a guess before measuring: a slider for a number, a menu for a choice.

    Args:
        key: chapter and name, such as "04.size".
        question: what is asked.
        default: what stands there at first, so that the notebook runs without a student.
        low, high: ends of the slider, for a number.
        step: of the slider; a hundredth of its length by default, 1 for whole numbers.
        unit: of the number.
        options: the choices of a menu.

    Returns:
        The guess; its control is shown at once.

    Raises:
        InputError: neither a range nor options, or a default outside them.
    """
    control = _control(default, low, high, step, options)
    guess = Guess(key, question, unit, control)
    recorded = read_progress()["guesses"].get(key, {})
    earlier = None if recorded.get("is_default") else recorded.get("guess")
    # A guess made before comes back when the cell runs again, unless the question's range has changed since.
    if earlier is not None and (earlier in options if options else low <= earlier <= high):
        control.value = type(control.value)(earlier)
        guess.is_default = False
    _show_guess(guess)
    return guess


def _control(default, low, high, step, options):
    import ipywidgets

    wide = {"layout": ipywidgets.Layout(width="32em")}
    if options is not None:
        if default not in options:
            raise InputError(
                tr("The default {default!r} is not an option.", default=default),
                fix=tr("use one of {options}", options=options),
            )
        return ipywidgets.Dropdown(options=options, value=default, **wide)
    if low is None or high is None or not low <= default <= high:
        raise InputError(
            tr("A guess needs low <= default <= high, or options."),
            why=tr("got {low}, {default}, {high}", low=low, default=default, high=high),
        )
    if all(isinstance(number, int) for number in (default, low, high, step or 1)):
        return ipywidgets.IntSlider(default, low, high, step or 1, **wide)
    return ipywidgets.FloatSlider(default, min=low, max=high, step=step or (high - low) / 100, **wide)


def _show_guess(guess: Guess) -> None:
    import ipywidgets

    asked = "<b>" + tr("Your guess:") + "</b> " + html.escape(guess.question)
    label = ipywidgets.HTML(asked)
    line = ipywidgets.HBox([guess.control, ipywidgets.Label(guess.unit)])
    value = guess._with_unit(guess.value)
    shown = tr("{question} Guess: {value}", question=guess.question, value=value)
    display.show_widget(
        ipywidgets.VBox([label, line]),
        f"<p>{asked} <i>{value}</i></p>",
        shown,
    )
