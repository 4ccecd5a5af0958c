"""`make wheels`: whether every locked package has a wheel for each platform that users have, by downloading them.

Prints a line a platform; ends with 1 where one is missing.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

PLATFORMS = {
    "Linux x86-64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64"),
    "Linux aarch64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "Windows x86-64": ("win_amd64",),
    "macOS arm64": tuple(f"macosx_{major}_0_arm64" for major in (11, 12, 13, 14)),
}


def missing(lock: Path, platforms: tuple[str, ...], folder: Path) -> str:
    """What pip says is missing, or nothing."""
    chosen = [word for name in platforms for word in ("--platform", name)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", "3.11",
         "--implementation", "cp", *chosen, "-r", str(lock), "-d", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main() -> int:
    lock = Path(__file__).parents[1] / "requirements.lock"
    bad = 0
    for name, platforms in PLATFORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            said = missing(lock, platforms, Path(folder))
            count = len(list(Path(folder).iterdir()))
        print(f"{name}: {said or f'{count} wheels, none missing'}")
        bad += bool(said)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
