"""What `cleanroom cluster` prints."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t


def key_shown(console: Console, result: dict[str, Any]) -> None:
    """What to do with the file."""
    console.print(t("The executors' key is made: {path}", path=result["key_file"]))
    console.print(t("Put the same file, mode 0600, at this path on every executor; it never travels with Spark."))


def check_shown(console: Console, result: dict[str, Any]) -> None:
    """What was found."""
    console.print(t("The cluster is fit: Spark {spark}, Java {java}, Python {python}.", **_of(result)))
    console.print(
        t("Started in {start} s; a thousand people matched and counted right in {match} s.",
          start=result["start_seconds"], match=result["match_seconds"])
    )  # fmt: skip


def _of(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("spark", "java", "python")}
