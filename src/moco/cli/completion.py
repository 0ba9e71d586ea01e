"""`moco completion`: commands and flags for a shell, as their help shows them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from dataclasses import dataclass, field
from importlib import import_module
from typing import Annotated, Literal

import tyro

from moco.cli.parse import parse
from moco.recipe import RECIPES

Shell = Literal["bash", "zsh", "fish"]


@dataclass
class Completion:
    """Print the completion of a shell: moco completion bash > ~/.local/share/bash-completion/completions/moco

    For zsh a file _moco in a folder of $fpath, for fish ~/.config/fish/completions/moco.fish.
    """

    shell: Annotated[Shell, tyro.conf.Positional]


@dataclass(frozen=True)
class Words:
    """What may follow a command."""

    what: str
    flags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Each flag, and its values where they are few."""
    first: tuple[str, ...] = ()
    """Words that may come first, besides files."""
    second: tuple[str, ...] = ()
    """Words that may come second, besides files."""


def run(arguments: list[str]) -> None:
    """Print it; takes a few seconds, as each command's help is read."""
    asked = parse(Completion, "moco completion", arguments)
    print(script(asked.shell, words()), end="")  # noqa: T201


def words() -> dict[str, Words]:
    """What may follow each command, read from its help, which is made from its fields."""
    from moco.cli import COMMANDS
    from moco.handover.table import FORMATS
    from moco.transfer.recipe import TASKS

    first = {
        "pretrain": ("auto", *RECIPES),
        "show": ("auto", *RECIPES),
        "transfer": (*TASKS, "densepose"),
        "completion": ("bash", "zsh", "fish"),
    }
    second = {"export": (*FORMATS, "all")}
    found: dict[str, Words] = {}
    for name, (_, what) in COMMANDS.items():
        ways = [[recipe] for recipe in RECIPES] if name == "pretrain" else [[]]
        flags: dict[str, tuple[str, ...]] = {}
        for more in ways:
            flags |= flags_in(_help(name, more))
        found[name] = Words(what, dict(sorted(flags.items())), first.get(name, ()), second.get(name, ()))
    return found


def flags_in(text: str) -> dict[str, tuple[str, ...]]:
    """The flags of a help text, and the values in {braces} behind them."""
    flags: dict[str, tuple[str, ...]] = dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][\w.-]*[\w]", text), ())
    for flag, values in re.findall(r"(--[a-z][\w.-]*[\w]) (?:\[)?\{([^{}\n]+)\}", text):
        flags[flag] = tuple(v for v in values.split(",") if re.fullmatch(r"[\w.-]+", v) and v != "None")
    return flags


def _help(command: str, more: list[str]) -> str:
    """A command's help, each line whole."""
    out, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "500"
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            import_module(f"moco.cli.{command}").run([*more, "--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return out.getvalue()


def script(shell: Shell, found: dict[str, Words]) -> str:
    """The completion as a script of this shell."""
    match shell:
        case "bash":
            return _bash(found)
        case "zsh":
            return _zsh(found)
        case "fish":
            return _fish(found)


def _cases(found: dict[str, Words], one: str, behind: str) -> tuple[str, str]:
    """Lines of `case` for the values of flags, and for the words and flags of commands."""
    values = "\n".join(
        f"        {shlex.quote(f'{name} {flag}')}) {behind.format(' '.join(few))} ;;"
        for name, w in found.items()
        for flag, few in w.flags.items()
        if few
    )
    commands = "\n".join(
        f"        {name}) {one.format(flags=' '.join(w.flags), first=' '.join(w.first), second=' '.join(w.second))} ;;"
        for name, w in found.items()
    )
    return values, commands


def _bash(found: dict[str, Words]) -> str:
    values, commands = _cases(
        found,
        "flags='{flags}'; first='{first}'; second='{second}'",
        "COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return",
    )
    return f"""# moco for bash, made by: moco completion bash
_moco() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" flags='' first='' second=''
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '{" ".join(found)} --help --version' -- "$cur"))
        return
    fi
    case "${{COMP_WORDS[1]}} $prev" in
{values}
    esac
    case "${{COMP_WORDS[1]}}" in
{commands}
    esac
    case "$cur" in
        -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;;
        *) [ "$COMP_CWORD" -eq 2 ] && COMPREPLY=($(compgen -W "$first" -- "$cur"))
           [ "$COMP_CWORD" -eq 3 ] && COMPREPLY=($(compgen -W "$second" -- "$cur"))
           COMPREPLY+=($(compgen -f -- "$cur")) ;;
    esac
    return 0
}}
complete -o filenames -F _moco moco
"""


def _zsh(found: dict[str, Words]) -> str:
    values, commands = _cases(found, "flags=({flags}); first=({first}); second=({second})", "compadd -- {}; return")
    return f"""#compdef moco
# moco for zsh, made by: moco completion zsh
_moco() {{
    local -a flags first second
    if (( CURRENT == 2 )); then
        compadd -- {" ".join(found)} --help --version
        return
    fi
    case "$words[2] $words[CURRENT-1]" in
{values}
    esac
    case "$words[2]" in
{commands}
    esac
    if [[ "$words[CURRENT]" == -* ]]; then
        compadd -- $flags
    else
        (( CURRENT == 3 )) && compadd -- $first
        (( CURRENT == 4 )) && compadd -- $second
        _files
    fi
}}
if [[ "$funcstack[1]" == _moco ]]; then _moco "$@"; else compdef _moco moco; fi
"""


def _fish(found: dict[str, Words]) -> str:
    lines = ["# moco for fish, made by: moco completion fish"]
    for name, w in found.items():
        inside = f"-n '__fish_seen_subcommand_from {name}'"
        lines.append(f"complete -c moco -n __fish_use_subcommand -f -a {name} -d {shlex.quote(w.what)}")
        for few in filter(None, (w.first, w.second)):
            lines.append(f"complete -c moco {inside} -a {shlex.quote(' '.join(few))}")
        for flag, few in w.flags.items():
            few_words = f" -x -a {shlex.quote(' '.join(few))}" if few else ""
            lines.append(f"complete -c moco {inside} -l {flag.removeprefix('--')}{few_words}")
    return "\n".join(lines) + "\n"
