"""Peers to measure against, each in a venv of its own under PEERS_HOME: installed once, never dependencies of ours."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = "3.11"


@dataclass(frozen=True)
class Peer:
    """What to install, and what it is called."""

    name: str
    title: str
    packages: tuple[str, ...]


PEERS = (
    Peer("secretflow", "SecretFlow PSI (spu 0.9.5)", ("spu==0.9.5", "numpy<2")),
    Peer("openmined", "OpenMined PSI 2.0.6", ("openmined-psi==2.0.6",)),
    Peer("phe", "phe 1.5", ("phe==1.5.0", "gmpy2")),
    Peer("heu", "HEU ZPaillier (sf-heu 0.5.2)", ("sf-heu==0.5.2b0", "numpy<2")),
)


@dataclass(frozen=True)
class Installed:
    """Peers by name: the Python of those that are there, and why the others are not."""

    pythons: dict[str, Path]
    missing: dict[str, str]

    def script(self, peer: str, name: str, *words: object) -> list[str]:
        """The command that runs a script of this folder at a peer."""
        return [str(self.pythons[peer]), str(HERE / name), *map(str, words)]


def install() -> Installed:
    """Make the venvs that are not there yet, with the client that this machine has (pip)."""
    home = Path(os.environ.get("PEERS_HOME") or Path("~/.cache/cleanroom-peers").expanduser())
    pythons, missing = {}, {}
    for peer in PEERS:
        python = home / peer.name / "bin" / "python"
        done = home / peer.name / "installed.txt"
        wanted = "\n".join(peer.packages)
        if not done.exists() or done.read_text("utf-8") != wanted:
            if reason := _install(home / peer.name, python, peer.packages):
                missing[peer.name] = reason
                continue
            done.write_text(wanted, "utf-8")
        pythons[peer.name] = python
    return Installed(pythons, missing)


def _install(venv: Path, python: Path, packages: tuple[str, ...]) -> str:
    """Why it could not be installed; empty where it was."""
    base = sys.executable if sys.version_info[:2] == (3, 11) else f"python{PYTHON}"
    venv.parent.mkdir(parents=True, exist_ok=True)
    for command in ([base, "-m", "venv", "--clear", str(venv)], [str(python), "-m", "pip", "install", "-q", *packages]):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            return f"there is no {command[0]}"
        except subprocess.CalledProcessError as error:
            return str((error.stderr.strip().splitlines() or ["it failed"])[-1])
    return ""
