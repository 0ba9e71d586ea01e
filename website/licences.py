"""The licences of what pyproject.toml names, as SPDX expressions, read from what is installed.

    python website/licences.py

prints a table; the site has it too.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files, metadata
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
SPDX = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license v2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache-2.0 license": "Apache-2.0",
    "bsd": "LicenseRef-BSD",
    "bsd license": "LicenseRef-BSD",
    "freebsd": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "simplified bsd": "BSD-2-Clause",
    "isc license (iscl)": "ISC",
    "mit": "MIT",
    "mit license": "MIT",
    "historical permission notice and disclaimer (hpnd)": "HPND",
    "python software foundation license": "PSF-2.0",
    "matplotlib license": "PSF-2.0",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
}
"""What packages call them that do not say it in SPDX; LicenseRef-BSD where the number of clauses is not told."""
BEGINS = {"Apache License": "Apache-2.0", "MIT License": "MIT", "BSD 3-Clause License": "BSD-3-Clause"}
"""The title of a licence file, of packages that have nothing else."""
WORD = r"[A-Za-z0-9][A-Za-z0-9.+-]*"
EXPRESSION = re.compile(rf"\(?{WORD}( (AND|OR|WITH) \(?{WORD}\)?)*\)?")


def named() -> Iterator[tuple[str, str, str]]:
    """Name, bound and extra (empty for what is always installed) of each requirement, in their order."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    told = set()
    for extra, requirements in groups.items():
        for requirement in requirements:
            found = re.match(r"([A-Za-z0-9_.-]+)(\[[^\]]*\])?([^;]*)", requirement)
            assert found is not None
            name = found[1]
            if name not in ("momentum-contrast", *told):
                told.add(name)
                yield name, found[3].strip(), extra


def licence(name: str) -> str | None:
    """The SPDX expression of a distribution; None where it is not installed, NOASSERTION where it does not say."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return None
    if expression := told.get("License-Expression"):
        return expression
    classifiers = [c.split(" :: ")[-1] for c in told.get_all("Classifier") or [] if c.startswith("License :: ")]
    free = (told.get("License") or "").strip().splitlines()
    for words in [*free[:1], *classifiers]:
        if words.lower() in SPDX:
            return SPDX[words.lower()]
        if EXPRESSION.fullmatch(words) and ("-" in words or words in ("MIT", "ISC", "HPND")):
            return words
    texts = [file for file in files(name) or [] if file.name.upper().startswith("LICEN")]
    title = next((line.strip() for text in texts for line in text.read_text().splitlines() if line.strip()), "")
    return BEGINS.get(title, "NOASSERTION")


def table() -> str:
    """All of them, in Markdown."""
    lines = ["| package | from | extra | licence (SPDX) |", "|---|---|---|---|"]
    lines += [f"| {n} | {bound} | {extra} | {licence(n) or 'not installed here'} |" for n, bound, extra in named()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201
