"""A Typer application that speaks the user's language, in help and in Typer's own errors, and keeps our exit codes.

Help texts stand in English in the code; they are translated when the command runs, when the language is known.
"""

import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import typer
from rich.text import Text
from typer import rich_utils
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import Abort, Exit, TyperException

from cleanroom import lang
from cleanroom.errors import KNOWN, CleanroomError, our_mistake
from cleanroom.lang import t
from cleanroom.terminal import show

STOPPED = 130
"""The exit code after Ctrl-C, as shells have it."""
TERMINATED = 143
_make_rich_text = rich_utils._make_rich_text
_TITLES: dict[str, str] = {
    "ARGUMENTS_PANEL_TITLE": "Arguments",
    "OPTIONS_PANEL_TITLE": "Options",
    "COMMANDS_PANEL_TITLE": "Commands",
    "ERRORS_PANEL_TITLE": "Error",
    "DEFAULT_STRING": "[default: {}]",
    "ENVVAR_STRING": "[env var: {}]",
    "REQUIRED_LONG_STRING": "[required]",
    "RICH_HELP": "Try [blue]'{command_path} {help_option}'[/] for help.",
}
_TYPER_ERRORS = {
    r"No such option: (?P<name>\S+)(?P<more>.*)": "No such option: {name}",
    r"No such command '(?P<name>.+)'\.(?P<more>.*)": "No such command: {name}",
    r"Missing command\.": "A command is missing.",
    r"Missing argument '?(?P<name>[^']+?)'?\.(?P<more>.*)": "The argument {name} is missing.",
    r"Missing (?:option|parameter) '?(?P<name>[^']+?)'?\.(?P<more>.*)": "The option {name} is missing.",
    r"Got unexpected extra arguments?(?: \(s\)|\(s\))? \((?P<name>.*)\)": "There is no place for: {name}",
    r"Option '?(?P<name>[^' ]+)'? requires an argument\.": "The option {name} needs a value.",
    r"Option '?(?P<name>[^' ]+)'? does not take a value\.": "The option {name} takes no value.",
    r"Invalid value for '?(?P<name>.+?)'?: .*'.*' is not one of (?P<allowed>.+?)\.?": "{name} is one of: {allowed}.",
    r"Invalid value for '?(?P<name>.+?)'?: (?P<more>.*)": "This value does not fit {name}.",
    r"Invalid value: (?P<more>.*)": "This value does not fit.",
}


class Command(TyperCommand):
    """A command whose usage line and --help are translated."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """The usage line."""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), prefix=t("Usage: "))

    def get_help_option(self, ctx: Any) -> Any:
        """The --help option, with its own help translated."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = t("Show this message and exit.")
        return option


class Group(TyperGroup):
    """A group of commands, likewise."""

    format_usage = Command.format_usage

    def get_help_option(self, ctx: Any) -> Any:
        """The --help option, with its own help translated."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = t("Show this message and exit.")
        return option


class Application(Group):
    """The whole command: chooses the language, runs, turns our errors into a text and an exit code."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run and leave with 0 done, 2 usage, 3 refused, 4 bad input, 5 peer or protocol, 1 our bug."""
        wanted, words = _language_of(list(sys.argv[1:] if args is None else args))
        lang.choose(wanted)
        _translate(self)
        helpers = {name: t(title) for name, title in _TITLES.items()} | {"_make_rich_text": _foldable}
        for name, helper in helpers.items():
            setattr(rich_utils, name, helper)
        before = signal.signal(signal.SIGTERM, _terminated)
        try:
            self._run(words, prog_name or "cleanroom", extra)
        finally:  # whoever runs a command within a program of theirs keeps their own
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)

    def _run(self, words: list[str], name: str, extra: Mapping[str, Any]) -> NoReturn:
        as_json = "--json" in words
        try:
            code = super().main(words, name, standalone_mode=False, **extra)
        except Exit as leave:
            code = leave.exit_code
        except (Abort, KeyboardInterrupt):
            code = STOPPED
        except TyperException as error:
            self._usage(error, as_json)
        except Exception as error:  # noqa: BLE001 - the last stop: everything becomes a text and an exit code
            known = error if isinstance(error, KNOWN) else our_mistake(error)
            details = known.details() if isinstance(known, CleanroomError) else {}
            show.failure(*lang.explain(known), known.exit_code, as_json=as_json, details=details)
            sys.exit(known.exit_code)
        if code == STOPPED:  # Typer takes Ctrl-C and returns this code
            show.failure(t("Stopped."), "", STOPPED, as_json=as_json)
        sys.exit(code or 0)

    def _usage(self, error: TyperException, as_json: bool) -> NoReturn:
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(error.format_message().rstrip() + "\n")
        else:
            hint = t("Try '{command} --help'.", command=context.command_path if context else "cleanroom")
            show.failure(_typer_text(error.format_message()), hint, 2, as_json=as_json)
        sys.exit(2)


def new(**settings: Any) -> typer.Typer:
    """A Typer group in our manner."""
    settings = {"cls": Group, "no_args_is_help": True, "add_completion": False, "rich_markup_mode": "rich", **settings}
    return typer.Typer(pretty_exceptions_enable=False, **settings)


def command(
    app: typer.Typer, name: str, text: str, example: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command; `example` stands under its help."""
    return app.command(name, cls=Command, help=text, epilog=f"[dim]{example}[/dim]")


def _terminated(*_: object) -> NoReturn:
    """Leave as after an error, so that temporary folders and processes go too."""
    sys.exit(TERMINATED)


def _language_of(words: list[str]) -> tuple[str | None, list[str]]:
    """The language asked for, wherever `--lang` stands, and the other words; an unknown one is left for Typer."""
    for position, word in enumerate(words[: words.index("--")] if "--" in words else words):
        given, end = (word.partition("=")[2], 1) if word.startswith("--lang=") else ("", 2)
        if word == "--lang":
            given = "".join(words[position + 1 : position + 2])
        if given in lang.LANGUAGES:
            return given, words[:position] + words[position + end :]
    return None, words


def _translate(node: Any) -> None:
    """Translate the help of a command, its parameters and all below it, once built (Typer builds them for each run)."""
    if node.help:
        node.help = t(node.help)
    node.short_help = t(node.short_help) if node.short_help else node.short_help
    node.options_metavar = t(node.options_metavar) if node.options_metavar else node.options_metavar
    if metavar := getattr(node, "subcommand_metavar", None):
        node.subcommand_metavar = t(metavar)
    for parameter in node.params:
        if getattr(parameter, "help", None):
            parameter.help = t(parameter.help)
    for child in getattr(node, "commands", {}).values():
        _translate(child)


def _foldable(**settings: Any) -> Any:
    """A help text that is folded where it is too long: Chinese has no spaces to wrap at, and would be cut."""
    text = _make_rich_text(**settings)
    if isinstance(text, Text):
        text.overflow = "fold"
    return text


def _typer_text(message: str) -> str:
    for pattern, text in _TYPER_ERRORS.items():
        if found := re.fullmatch(pattern, message.strip(), re.DOTALL):
            groups = {name: value or "" for name, value in found.groupdict().items()}
            more = groups.pop("more", "").strip() if lang.current() == "en" else ""
            return f"{t(text, **groups)} {more}".strip()
    return message
