"""A node's settings: home/node.toml, and the environment over it. Each key is known, typed, bounded and explained here.

    CLEANROOM_NODE_<KEY>             over a key at the top      CLEANROOM_NODE_LISTEN=0.0.0.0:8815
    CLEANROOM_NODE_<TABLE>_<KEY>     over a key of a table      CLEANROOM_NODE_TIMES_CONNECT=30
No secret is ever a setting: a setting names the file that holds one. An unknown key is refused by its name and line.
"""

import dataclasses
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cleanroom import private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.lang import t

FILE = "node.toml"
ROLES = ("merchant", "platform", "enclave", "provider", "auditor")
ENVIRONMENT = "CLEANROOM_NODE_"
RUN_APPROVALS = ("contract", "ask")
_SCHEME = "grpc+tls"
_MOST_BYTES = 1 << 16
_HOUR = 3600.0
ENGINES = ("duckdb", "spark")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
"""What the environment writes for a setting that is on or off."""
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*|\[[0-9a-fA-F:.]+\]")


def _setting(text: str, default: Any, least: float = 0, most: float = 0) -> Any:
    """A setting, what it does in a sentence, and, of a number, its bounds."""
    return field(default=default, metadata={"text": text, "least": least, "most": most})


@dataclass(frozen=True)
class Limits:
    """How much of anything there may be at once."""

    runs: int = _setting("Runs of rooms at the same time.", 2, 1, 64)
    links: int = _setting("Wires of peers that are open at the same time; more are turned away.", 64, 1, 4096)
    window_bytes: int = _setting(
        "What a wire may send before the other side confirms it; memory a wire takes.", 16 << 20, 1 << 16, 1 << 30
    )
    jobs_waiting: int = _setting("Jobs that wait; more are refused.", 1_000, 1, 1_000_000)
    runs_per_peer_per_day: int = _setting("Runs that one peer may start in a day.", 1_000, 1, 1_000_000)
    enclave_mb: int = _setting(
        "Memory of the process that computes a room's answers, in MB; 2048 serves a hundred million matched people.",
        2048, 256, 1 << 20,
    )  # fmt: skip


@dataclass(frozen=True)
class Times:
    """How long anything may take, in seconds."""

    connect: float = _setting("Reaching a peer.", 10.0, 0.1, 600)
    silent: float = _setting("A wire without a sign of life counts as cut.", 60.0, 1, _HOUR)
    resume: float = _setting("How long a cut wire is waited for before its run ends.", 120.0, 1, 24 * _HOUR)
    skew: float = _setting("How far a peer's clock may be off.", 300.0, 1, 48 * _HOUR)
    job: float = _setting("The longest that a job may run.", 6 * _HOUR, 1, 168 * _HOUR)
    retry_first: float = _setting("The wait before the first retry; it doubles with each.", 5.0, 0.01, _HOUR)
    retries: int = _setting("Retries of a job that a fault of the link ended.", 10, 0, 100)


@dataclass(frozen=True)
class Approval:
    """What waits for a person's yes."""

    runs: str = _setting(
        "Runs that a peer starts: contract (what all have signed needs no more) or ask (each waits for a yes).",
        "contract",
    )
    approvers: tuple[str, ...] = _setting("Users who may decide beside the owner of this home.", ())
    substitutes: tuple[str, ...] = _setting("Users who may decide when nobody has for substitute_hours.", ())
    remind_hours: int = _setting("Hours between reminders.", 24, 1, 8760)
    substitute_hours: int = _setting("Hours after which substitutes may decide.", 72, 1, 8760)


@dataclass(frozen=True)
class Notices:
    """Who is told, without any data, that something waits or has ended. All of it may stay empty."""

    webhook: str = _setting(
        "An address that gets a POST with event, party, room and time. Where the address is a secret, set it by the "
        "environment.",
        "",
    )
    smtp_host: str = _setting("The mail server; empty for no mail.", "")
    smtp_port: int = _setting("Its port; TLS by STARTTLS, on 465 from the start.", 587, 1, 65535)
    sender: str = _setting("The address that mail comes from.", "")
    to: tuple[str, ...] = _setting("Addresses that get mail.", ())
    smtp_user: str = _setting("The account at the mail server; empty for none.", "")
    smtp_password_file: str = _setting("A file of mode 0600 that holds its password.", "")


@dataclass(frozen=True)
class Oidc:
    """An identity provider whose ID tokens users may show instead of this node's own. All empty: none."""

    issuer: str = _setting("Its https address, as its tokens have it; empty for none.", "")
    audience: str = _setting("What it calls this node.", "")
    jwks_file: str = _setting("A file of its public keys (JWKS).", "")
    roles_claim: str = _setting("Where a token names the groups of its user.", "groups")
    roles: tuple[str, ...] = _setting("What a group is here, as GROUP=ROLE.", ())


@dataclass(frozen=True)
class Cluster:
    """Where Spark is, for engine = "spark"; see `cleanroom.cluster.settings`."""

    master: str = _setting("Spark's address: spark://HOST:7077, yarn, k8s://https://…, or local[2] for this machine.",
                           "local[2]")  # fmt: skip
    staging: str = _setting("Where encrypted parts stand while a run lasts: a folder that all executors share, or "
                            "s3://bucket/prefix.", "")  # fmt: skip
    executor_key: str = _setting("The key file (mode 0600) that stands at this path here and on every executor; make "
                                 "one: cleanroom cluster key PATH.", "")  # fmt: skip
    buckets: int = _setting("Into how many parts a dataset is cut: a million rows each is well.", 32, 1, 1 << 14)
    memory_mb: int = _setting("Memory of an executor's JVM, in MB; its Python workers get twice as much.",
                              2048, 512, 1 << 20)  # fmt: skip
    pairs: str = _setting(
        "An address of this machine on which both parties' executors are awaited, where rooms of two parties match by "
        "both clusters; empty matches on one machine. The peer's node needs one too.", "",
    )  # fmt: skip
    handover: str = _setting(
        "A folder or s3://bucket/prefix that executors of a neutral room's owners and operator all reach: rows go from "
        "cluster to cluster there, encrypted; empty sends them over one connection. All parties' nodes need one.", "",
    )  # fmt: skip
    options: tuple[str, ...] = _setting("More of Spark's own settings, as key=value.", ())


@dataclass(frozen=True)
class Config:
    """All settings of a node. `listen`, `url`, `metrics`: "" for none; `socket`: a path, "" for the usual one."""

    role: str = _setting("What this node's party is: merchant, platform, enclave, provider or auditor.", "")
    listen: str = _setting("Where peers reach this node, as HOST:PORT; empty: it cannot be dialled.", "127.0.0.1:8815")
    url: str = _setting("What peers dial, as grpc+tls://HOST:PORT; empty: this node fetches its messages itself.", "")
    metrics: str = _setting(
        "Where /health, /ready and /metrics are served, as HOST:PORT; empty: nowhere.", "127.0.0.1:8816"
    )
    socket: str = _setting("The Unix socket of this node's users; empty: node.sock in the home.", "")
    console: bool = _setting("Serve the console, the node's own web page.", False)
    console_listen: str = _setting(
        "Where browsers reach the console, as HOST:PORT; beyond this machine it needs a certificate.", "127.0.0.1:8817"
    )
    console_certificate: str = _setting("A PEM file of the console's certificate and its chain; empty for none.", "")
    console_key: str = _setting("A PEM file of mode 0600 with that certificate's private key; empty for none.", "")
    console_names: tuple[str, ...] = _setting(
        "Host names by which browsers reach the console beside console_listen; it answers to no other.", ()
    )
    console_upload_mb: int = _setting("The largest file that the console takes, in MB.", 512, 1, 4096)
    engine: str = _setting("What computes a room's answers: duckdb, on this machine, or spark, on a cluster.", "duckdb")
    limits: Limits = Limits()
    cluster: Cluster = Cluster()
    times: Times = Times()
    approval: Approval = Approval()
    notices: Notices = Notices()
    oidc: Oidc = Oidc()

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise _unfit("role", ", ".join(ROLES))
        if self.engine not in ENGINES:
            raise _unfit("engine", ", ".join(ENGINES))
        if self.approval.runs not in RUN_APPROVALS:
            raise _unfit("approval.runs", ", ".join(RUN_APPROVALS))
        for name in ("listen", "metrics", "console_listen"):
            if getattr(self, name):
                _setting_fits(name, "HOST:PORT", address, getattr(self, name))
        if self.url:
            _setting_fits("url", f"{_SCHEME}://HOST:PORT", dialled, self.url)
        if self.notices.webhook and urlsplit(self.notices.webhook).scheme not in ("http", "https"):
            raise _unfit("notices.webhook", "https://…")
        if self.notices.smtp_host and not (self.notices.sender and self.notices.to):
            raise UsageError("Mail needs notices.sender and notices.to.", "Name them, or leave smtp_host empty.")
        _check_console(self)


TABLES: dict[str, type[Any]] = {"limits": Limits, "cluster": Cluster, "times": Times, "approval": Approval,
                                "notices": Notices, "oidc": Oidc}  # fmt: skip
TITLES = {
    "limits": "How much of anything there may be at once.",
    "cluster": "Where Spark is and what it may use, for the engine spark.",
    "times": "How long anything may take, in seconds.",
    "approval": "What waits for a person's yes.",
    "notices": "Who is told, without any data, that something waits or has ended. All of it may stay empty.",
    "oidc": "An identity provider whose ID tokens users may show instead of this node's own. All empty: none.",
}
"""What stands over each table of the file."""


def load(home: Path, environment: Mapping[str, str] | None = None) -> Config:
    """The settings of the node whose home that is. Raises UsageError: which key, in which line, what is expected."""
    environment = os.environ if environment is None else environment
    path = home / FILE
    there = path.exists() or path.is_symlink()
    given = _parsed(private_files.read(path, _MOST_BYTES).decode("utf-8", "replace")) if there else {}
    for name, text in environment.items():
        if name.startswith(ENVIRONMENT):
            _override(given, name, text)
    if not there and "role" not in given:
        raise UsageError("The home {name} has no {file}.", "Make one: cleanroom node init", name=home.name, file=FILE)
    tables = {name: kind(**given.pop(name, {})) for name, kind in TABLES.items()}
    return Config(**given, **tables)


def written(config: Config) -> str:
    """A whole node.toml in the current language: each key with what it does, commented out where it is the default."""
    lines = [f"# {t('The settings of this node. What is commented out is the default.')}"]
    lines += [f"# {t('The environment overrides each: {example}', example=ENVIRONMENT + 'TIMES_CONNECT=30')}"]
    lines += [f"# {t('No secret belongs here: name the file that holds it.')}"]
    for each in dataclasses.fields(Config):
        if each.name not in TABLES:
            lines += ["", f"# {t(each.metadata['text'])}", _line(each, getattr(config, each.name))]
    for name, kind in TABLES.items():
        lines += ["", "", f"# {t(TITLES[name])}", f"[{name}]"]
        for each in dataclasses.fields(kind):
            bounds = t(" ({least} to {most})", **_bounds(each)) if each.metadata["most"] else ""
            lines += [f"# {t(each.metadata['text'])}{bounds}", _line(each, getattr(getattr(config, name), each.name))]
    return "\n".join(lines) + "\n"


def address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, IPv6 as [::1]:8815. Raises UsageError."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", text)
    if found is None or int(found[2]) > 65535:
        raise UsageError("{address} is no address.", "Write it as HOST:PORT.", address=text)
    return found[1].strip("[]"), int(found[2])


def dialled(url: str) -> tuple[str, int]:
    """Host and port of grpc+tls://HOST:PORT. Raises UsageError."""
    scheme, _, rest = url.partition("://")
    if scheme != _SCHEME:
        raise UsageError("{address} is no address of a node.", "Write it as grpc+tls://HOST:PORT.", address=url)
    host, port = address(rest)
    if not port:
        raise UsageError("{address} is no address of a node.", "Write it as grpc+tls://HOST:PORT.", address=url)
    return host, port


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there; a name but localhost may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_console(config: Config) -> None:
    """Raises UsageError where the console could not be served, or would be served to others without TLS."""
    if config.console and not config.console_listen:
        raise _unfit("console_listen", "HOST:PORT")
    if any(not _HOST_NAME.fullmatch(name) for name in config.console_names):
        raise _unfit("console_names", '["console.example"]')
    if bool(config.console_certificate) != bool(config.console_key):
        raise UsageError("console_certificate and console_key belong together.", "Name both files, or none.")
    if config.console and not config.console_certificate and not is_loopback(address(config.console_listen)[0]):
        raise UsageError(
            "Beyond this machine the console is served with TLS only.",
            "Name the files console_certificate and console_key, or let console_listen be 127.0.0.1:8817.",
        )


def _parsed(text: str) -> dict[str, Any]:
    try:
        given = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise BadData(
            "{file} is not TOML at line {line}.",
            "Compare it with: cleanroom node settings --default",
            file=FILE,
            line=line,
        ) from error
    known = _known()
    for name, value in _flat(given):
        place = _line_of(text, name)
        if name not in known:
            raise _unknown(name, place)
        _check(name, known[name], value, place)
    return _typed(given)


def _override(given: dict[str, Any], variable: str, text: str) -> None:
    """Set what a variable of the environment says."""
    names = {ENVIRONMENT + name.replace(".", "_").upper(): name for name in _known()}
    if variable not in names:
        raise _unknown(variable, 0)
    name = names[variable]
    setting = _known()[name]
    value: Any = text
    if isinstance(setting.default, tuple):
        value = tuple(part.strip() for part in text.split(",") if part.strip())
    elif isinstance(setting.default, bool):
        value = _TRUTHS.get(text.strip().lower())
    elif isinstance(setting.default, int | float):
        try:
            value = type(setting.default)(text)
        except ValueError as error:
            raise _unfit(variable, _wanted(setting)) from error
    _check(name, setting, value, 0, variable)
    table, _, key = name.rpartition(".")
    (given.setdefault(table, {}) if table else given)[key] = value


def _known() -> dict[str, "dataclasses.Field[Any]"]:
    """Every setting by its name, 'table.key' or 'key'."""
    top = {each.name: each for each in dataclasses.fields(Config) if each.name not in TABLES}
    return top | {f"{name}.{each.name}": each for name, kind in TABLES.items() for each in dataclasses.fields(kind)}


def _flat(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    pairs = []
    for name, value in given.items():
        if name in TABLES and isinstance(value, dict):
            pairs += [(f"{name}.{key}", each) for key, each in value.items()]
        else:
            pairs.append((name, value))
    return pairs


def _typed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same with tuples for lists, and floats where a setting is one."""
    typed: dict[str, Any] = {name: {} if name in TABLES else value for name, value in given.items()}
    for name, value in _flat(given):
        table, _, key = name.rpartition(".")
        kind: Any = type(_known()[name].default)
        (typed[table] if table else typed)[key] = kind(value)
    return typed


def _check(name: str, setting: "dataclasses.Field[Any]", value: Any, line: int, variable: str = "") -> None:
    kind, least, most = type(setting.default), setting.metadata["least"], setting.metadata["most"]
    if kind is tuple:
        fits = isinstance(value, list | tuple) and all(type(each) is str for each in value)
    elif kind is float:
        fits = type(value) in (int, float) and least <= value <= most
    elif kind is int:
        fits = type(value) is int and least <= value <= most
    else:
        fits = type(value) is kind
    if not fits:
        raise _unfit(variable or name, _wanted(setting), line)


def _wanted(setting: "dataclasses.Field[Any]") -> str:
    if isinstance(setting.default, tuple):
        return '["…"]'
    if isinstance(setting.default, bool):
        return "true, false"
    return t("{least} to {most}", **_bounds(setting)) if setting.metadata["most"] else '"…"'


def _bounds(setting: "dataclasses.Field[Any]") -> dict[str, str]:
    return {name: f"{setting.metadata[name]:g}" if setting.metadata[name] < 1000 else str(int(setting.metadata[name]))
            for name in ("least", "most")}  # fmt: skip


def _line(setting: "dataclasses.Field[Any]", value: Any) -> str:
    """`key = value` as TOML; commented out where it is the default."""
    if isinstance(value, tuple):
        text = "[" + ", ".join(_quoted(each) for each in value) + "]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = _quoted(value) if isinstance(value, str) else repr(value)
    return f"{'# ' if value == setting.default else ''}{setting.name} = {text}"


def _quoted(text: str) -> str:
    return '"' + "".join(rf"\U{ord(c):08x}" if c in '"\\' or not c.isprintable() else c for c in text) + '"'


def _line_of(text: str, name: str) -> int:
    """The line in which a setting stands, from 1; 0 where it is not found."""
    table, _, key = name.rpartition(".")
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[+\s*([^\]]*?)\s*\]+", line):
            inside = found[1]
            if not table and inside.partition(".")[0] == key:
                return number
        elif (found := re.match(r"""\s*["']?([A-Za-z0-9_.-]+)["']?\s*=""", line)) and (
            (inside, found[1]) == (table, key) or (not inside and found[1] == name)
        ):
            return number
    return 0


def _setting_fits(name: str, wanted: str, parse: Any, value: str) -> None:
    try:
        parse(value)
    except UsageError as error:
        raise _unfit(name, wanted) from error


def _unknown(name: str, line: int) -> UsageError:
    if line:
        return UsageError(
            "Line {line} of {file}: there is no setting {name}.", "See them all: cleanroom node settings --default",
            line=line, file=FILE, name=name,
        )  # fmt: skip
    return UsageError("There is no setting {name}.", "See them all: cleanroom node settings --default", name=name)


def _unfit(name: str, wanted: str, line: int = 0) -> UsageError:
    if line:
        return UsageError("Line {line} of {file}: the setting {name} does not fit.", "Expected: {wanted}",
                          line=line, file=FILE, name=name, wanted=wanted)  # fmt: skip
    return UsageError("The setting {name} does not fit.", "Expected: {wanted}", name=name, wanted=wanted)
