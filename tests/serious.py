"""What axe-core finds of a page that keeps people from using it."""

import pytest


def serious(seen, besides=()):
    """The serious and critical violations of a page: impact, rule, and where; parts of other makers are left out."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is missing: pip install axe-playwright-python"
    )
    found = axe.Axe().run(seen.page, context={"exclude": [[part] for part in besides]}).response["violations"]
    return [
        (one["impact"], one["id"], [node["html"][:200] for node in one["nodes"]][:4])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
