"""The libraries of formats: optional, and asked for in one sentence where one is missing."""

from __future__ import annotations

from importlib import import_module, metadata

from moco.errors import MocoError


def needs(what: str, *libraries: str) -> None:
    """Raise MocoError with what to install, unless all `libraries` can be imported."""
    for library in libraries:
        try:
            import_module(library)
        except ImportError:
            raise MocoError(f"{what} needs {library}: pip install 'momentum-contrast[export]'") from None


def version(library: str) -> str:
    """`torchvision 0.29.1`."""
    return f"{library} {metadata.version(library)}"
