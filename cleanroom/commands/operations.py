"""The commands that keep a node running: `backup`, `restore`, `upgrade`, `keys`, and `room assess`.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

backup_app = terminal.new(help="The home as one encrypted file, taken while its node runs.")
keys_app = terminal.new(help="Keys of this home.")
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="A key file that opens the backup.")]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="A file of mode 0600 with the passphrase that opens it.")
]
RecipientHome = Annotated[
    Path | None, typer.Option("--recipient-home", help="The home of the party that the backup was made for.")
]
BackupFile = Annotated[Path, typer.Argument(help="The backup.")]


def add(app: typer.Typer, room_app: typer.Typer) -> None:
    """Put the commands into `app`, and `assess` into `room`."""
    app.add_typer(backup_app, name="backup")
    app.add_typer(keys_app, name="keys")
    terminal.command(app, "restore", "Make a home of a backup, in a new folder.",
                     "cleanroom restore merchant.backup --to merchant --key-file backup.key")(restore)  # fmt: skip
    terminal.command(app, "upgrade", "Bring a home to the format of this version; its node must not run.",
                     "cleanroom upgrade merchant")(upgrade)  # fmt: skip
    terminal.command(room_app, "assess", "The impact assessment of a room, to print: who, what, why, how long.",
                     "cleanroom room assess spring --out spring.html")(assess)  # fmt: skip


@terminal.command(backup_app, "key", "Make a key file that opens backups.", "cleanroom backup key backup.key")
def backup_key(
    to: Annotated[Path, typer.Argument(help="Where to write it; keep it elsewhere than the backups.")],
    json: Json = False,
) -> None:
    """Make it."""
    from cleanroom.operations.desk import make_backup_key
    from cleanroom.terminal.operations import key_shown

    result = make_backup_key(to)
    show.result(result, json, lambda console: key_shown(console, result))


@terminal.command(
    backup_app, "make", "Back the home up.", "cleanroom backup make --to merchant.backup --key-file backup.key"
)
def backup_make(
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    key_file: KeyFile = None,
    passphrase_file: PassphraseFile = None,
    recipient: Annotated[str, typer.Option("--for", help="A peer that alone can open it, by name.")] = "",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write it."""
    from cleanroom.operations.desk import Access, make_backup
    from cleanroom.terminal.operations import backup_shown

    result = make_backup(home, to, Access(key_file, passphrase_file, recipient))
    show.result(result, json, lambda console: backup_shown(console, result))


@terminal.command(
    backup_app, "verify", "Read all of a backup and check it.", "cleanroom backup verify m.backup --key-file backup.key"
)
def backup_verify(
    file: BackupFile,
    key_file: KeyFile = None,
    passphrase_file: PassphraseFile = None,
    recipient_home: RecipientHome = None,
    json: Json = False,
) -> None:
    """Read it."""
    from cleanroom.operations.desk import Access, verify_backup
    from cleanroom.terminal.operations import backup_shown

    result = verify_backup(file, Access(key_file, passphrase_file, recipient_home=recipient_home))
    show.result(result, json, lambda console: backup_shown(console, result))


def restore(
    file: BackupFile,
    to: Annotated[Path, typer.Option("--to", help="The home to make; it does not exist yet.")],
    ledger: Annotated[
        Path | None, typer.Option(help="The lost home's ledger.sqlite, as its disk had it last: budgets go on.")
    ] = None,
    tombstones: Annotated[
        Path | None, typer.Option(help="The newest vault/tombstones: persons forgotten since the backup.")
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="That ledger is a copy made before the loss, not its last state.")
    ] = False,
    key_file: KeyFile = None,
    passphrase_file: PassphraseFile = None,
    recipient_home: RecipientHome = None,
    json: Json = False,
) -> None:
    """Restore it, and say what it cost."""
    from cleanroom.operations.desk import Access, restore_home
    from cleanroom.operations.restore import Newer
    from cleanroom.terminal.operations import restored_shown

    access = Access(key_file, passphrase_file, recipient_home=recipient_home)
    result = restore_home(file, to, access, Newer(ledger, tombstones, copy))
    show.result(result, json, lambda console: restored_shown(console, result))


@terminal.command(
    backup_app, "tell", "Tell peers once more that this home was restored.", "cleanroom backup tell --home merchant"
)
def backup_tell(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Send it."""
    from cleanroom.operations.desk import tell_again
    from cleanroom.terminal.operations import told_shown

    result = tell_again(home)
    show.result(result, json, lambda console: told_shown(console, result))


def upgrade(
    home: Annotated[Path, typer.Argument(help="The home.", envvar="CLEANROOM_HOME")] = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Upgrade it."""
    from cleanroom.operations.desk import upgrade_home
    from cleanroom.terminal.operations import upgraded_shown

    result = upgrade_home(home)
    show.result(result, json, lambda console: upgraded_shown(console, result))


@terminal.command(
    keys_app, "rotate", "New keys: what opens the home, its TLS certificate, or both.", "cleanroom keys rotate --tls"
)
def keys_rotate(
    storage: Annotated[
        bool, typer.Option("--storage", help="By CLEANROOM_NEW_KEY_FILE or CLEANROOM_NEW_PASSPHRASE.")
    ] = False,
    tls: Annotated[bool, typer.Option("--tls", help="A new key and certificate for the node.")] = False,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="The old TLS key was stolen: peers must take the new one by hand.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Rotate them."""
    from cleanroom.operations.desk import rotate
    from cleanroom.terminal.operations import rotated_shown

    result = rotate(home, storage=storage, tls=tls, at_once=at_once)
    show.result(result, json, lambda console: rotated_shown(console, result))


def assess(
    name: Annotated[str, typer.Argument(help="The room's name.")],
    out: Annotated[Path | None, typer.Option(help="Write it here, as one HTML file to print.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Assess it."""
    from cleanroom.operations.assessment import assessed, write
    from cleanroom.terminal.operations import assessed_shown

    result = assessed(home, name)
    if out is not None:
        write(out.expanduser(), result)
    show.result(result, json, lambda console: assessed_shown(console, result, out))
