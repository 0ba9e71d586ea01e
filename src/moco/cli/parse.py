"""Flags from dataclasses."""

from __future__ import annotations

from typing import Any

import tyro


def parse(kind: Any, program: str, arguments: list[str], default: Any = None) -> Any:
    """An instance of the dataclass `kind` from the arguments; exits with 2 and says why where they do not fit."""
    more = {} if default is None else {"default": default}
    return tyro.cli(kind, prog=program, args=arguments, config=(tyro.conf.AvoidSubcommands,), **more)
