"""Maps the folders at the top onto one import name, so that no folder called ``common`` collides.

``common/`` is installed as ``he_compare.common``, and so on. ``comparisons`` is importable under
its own name as well, for ``from comparisons import run`` and ``python -m comparisons``, and only
for them: ``__init__.py`` and ``__main__.py`` (docs/adr/0012-one-import-name.md).
"""

from __future__ import annotations

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

NAMESPACE = "he_compare"
FOLDERS = ("common", "block_scramble", "fhe_baseline", "comparisons", "reports")
DOOR = "comparisons"
DOOR_MODULES = ("__init__", "__main__")


class BuildWithDoor(build_py):
    """Keeps everything but its two modules out of the door package."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = super().find_package_modules(package, package_dir)
        return [one for one in found if package != DOOR or one[1] in DOOR_MODULES]


packages = find_packages(include=[f"{folder}{rest}" for folder in FOLDERS for rest in ("", ".*")])
setup(
    packages=[*(f"{NAMESPACE}.{package}" for package in packages), DOOR],
    package_dir={f"{NAMESPACE}.{folder}": folder for folder in FOLDERS} | {DOOR: DOOR},
    cmdclass={"build_py": BuildWithDoor},
)
