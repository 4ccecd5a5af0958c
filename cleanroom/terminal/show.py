"""What commands print: one JSON object on stdout with --json, else tables for people; errors and progress on stderr."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cleanroom.lang import t
from cleanroom.ledger.computed import computed as computed_by


def result(value: dict[str, Any], as_json: bool, people: Callable[[Console], None]) -> None:
    """`value` as one JSON object, or what `people` writes."""
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    else:
        people(Console(highlight=False))


def failure(what: str, hint: str, code: int, *, as_json: bool, details: Mapping[str, object] | None = None) -> None:
    """An error: for people on stderr; with --json also as the one object on stdout, with the details for programs."""
    console = Console(stderr=True, highlight=False)
    console.print(harmless(f"✗ {what}"), style="bold red", markup=False)
    if details and "line" in details:
        console.print("  " + t("Line {line}, column {column}.", **details), markup=False)
    if hint:
        console.print(harmless(f"  {hint}"), markup=False)
    if as_json:
        sys.stdout.write(
            json.dumps(
                {"error": {"what": what, "hint": hint, "exit_code": code, **(details or {})}}, ensure_ascii=False
            )
            + "\n"
        )


def table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table under its title; numbers stand to the right."""
    console.print(title, style="bold", markup=False, soft_wrap=True)
    grid = Table(header_style="bold", show_edge=False)
    for position, name in enumerate(columns):
        number = bool(rows) and all(isinstance(row[position], int | float) for row in rows)
        grid.add_column(escape(harmless(name)), justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_text(cell) for cell in row))
    console.print(grid)
    console.print()


def fact(console: Console, name: str, value: str) -> None:
    """One named fact on a line, which is never cut: paths and digests are to be copied."""
    console.print(f"[bold]{escape(harmless(name))}[/bold]  {escape(harmless(value))}", soft_wrap=True)


def computed(console: Console, isolation: str) -> None:
    """Where an answer was computed, by what its receipt says."""
    template, params = computed_by(isolation)
    fact(console, t("Computed"), t(template, **params))


def line(console: Console, text: str, mark: str = "·") -> None:
    """One sentence of a list."""
    console.print(f"{mark} {text}", markup=False, soft_wrap=True)


def _text(cell: object) -> str:
    """A cell as text; its brackets are no markup."""
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else escape(harmless(str(cell)))


def teller(quiet: bool) -> Callable[[str], None]:
    """Says on stderr, in a sentence, what is to be known before it takes long."""
    console = Console(stderr=True, highlight=False)
    return (lambda text: None) if quiet else (lambda text: line(console, text))


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, str, int, int], None]]:
    """A bar per party on stderr, where stderr is a terminal; call with (party, stage, done, total)."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda party, stage, done, total: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def step(party: str, stage: str, done: int, total: int) -> None:
            if party not in tasks:
                tasks[party] = bars.add_task(party)
            text = f"{t(party)}: {t(stage)}"
            bars.update(tasks[party], description=text, completed=done, total=total or None)

        yield step


def harmless(text: str) -> str:
    """Text without control characters: a partner's labels may not move the cursor or colour the screen."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
