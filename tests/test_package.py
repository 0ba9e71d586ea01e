"""The package as others install it: what is in it, that it works outside the checkout, that its papers are in order."""

import importlib.metadata
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile

import pytest
from blocks import PAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LICENCES = runpy.run_path(str(ROOT / "website" / "licences.py"))
PERMISSIVE = {
    *(
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "HPND",
        "ISC",
        "MIT",
        "MIT-CMU",
        "PSF-2.0",
        "Python-2.0",
        "0BSD",
        "Zlib",
    ),
    *("BSL-1.0", "CC0-1.0", "LLVM-exception", "LicenseRef-BSD", "MPL-2.0", "Unlicense"),
}
OF_TESTS = {"docs", "notebook", "test"}
"""Extras that nobody who uses the package installs."""


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(made_once):
    """A folder with the sdist, and the wheel that was built from the sdist; no network is used."""

    def make(folder):
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, folder / name)
        left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.nbi", "*.nbc")
        shutil.copytree(ROOT / "src", folder / "src", ignore=left_out)
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder)

    return made_once("package", make) / "dist"


def test_wheel_and_sdist_hold_the_package_and_nothing_else(built):
    wheel = next(built.glob("*.whl"))
    assert wheel.name == f"momentum_contrast-{importlib.metadata.version('momentum-contrast')}-py3-none-any.whl"
    inside = zipfile.ZipFile(wheel).namelist()
    assert {"moco/py.typed", "moco/cli/__init__.py"} <= {*inside}
    assert any(name.startswith("moco/pages/") and name.endswith(".html") for name in inside)
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"moco", "momentum_contrast"}
    sources = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src" / "moco").rglob("*.py")}
    assert sources == {name for name in inside if name.endswith(".py")}
    with tarfile.open(next(built.glob("*.tar.gz"))) as sources_too:
        assert "tests" not in " ".join(sources_too.getnames())


def test_the_wheel_works_in_a_clean_environment_outside_the_checkout(built, tmp_path):
    """Its dependencies are lent by the environment of the test: PyTorch is some gigabytes."""
    place = tmp_path / "clean"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    wheel = next(built.glob("*.whl"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
    run(*pip, wheel, env=environment)
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (tmp_path / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.move(tmp_path / "lent.pth", own)
    where = run(python, "-c", "import moco; print(moco.__file__)", cwd=tmp_path, env=environment)
    assert where.startswith(own), where
    small = "--steps 3 --encoder.backbone resnet10w8 --batch 32 --dictionary.size 64 --machine.precision fp32"
    words = ["pretrain", "--data", "demo", "--out", "run", *small.split(), "--machine.threads", "1"]
    assert "report.html" in run(place / "bin" / "moco", *words, cwd=tmp_path, env=environment)
    assert (tmp_path / "run" / "encoder.pt").exists()


def test_every_address_of_the_project_is_the_same():
    source = PROJECT["urls"]["Source"]
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} <= {*PROJECT["urls"]}
    for name in ("CITATION.cff", "README.md", "CONTRIBUTING.md"):
        assert source in (ROOT / name).read_text(), name
    assert PROJECT["urls"]["Documentation"] in (ROOT / "mkdocs.yml").read_text()
    assert PROJECT["urls"]["Documentation"] in (ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text()


def test_the_citation_names_this_version():
    version = importlib.metadata.version("momentum-contrast")
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert version in (ROOT / "CHANGELOG.md").read_text()


def test_every_requirement_has_a_lower_bound():
    for name, bound, extra in LICENCES["named"]():
        assert ">=" in bound, f"{name} ({extra or 'always'}) has no lower bound"


def test_what_is_installed_with_it_has_a_permissive_licence():
    for name, _, extra in LICENCES["named"]():
        told = LICENCES["licence"](name)
        if told is not None and extra not in OF_TESTS:
            words = {*re.split(r"[\s()]+", told)} - {"AND", "OR", "WITH", ""}
            assert words & PERMISSIVE if " OR " in told else words <= PERMISSIVE, f"{name}: {told}"


def test_every_extra_is_named_in_the_documents():
    text = " ".join(page.read_text() for page in PAGES)
    for extra in {*PROJECT["optional-dependencies"]} - OF_TESTS:
        assert re.search(rf"`{extra}`|[\[,]{extra}[,\]]", text), extra


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_files_for_a_forge_follow_their_schemas(schema, files):
    pytest.importorskip("check_jsonschema")
    found = sorted(ROOT.glob(files))
    assert found
    run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *found)


@pytest.mark.parametrize(("linter", "files"), [("hadolint", "Dockerfile"), ("actionlint", ".github/workflows/*.yml")])
def test_the_container_file_and_workflows_pass_their_linters(linter, files):
    """The container file is linted, not built: docker is not at hand where these tests run."""
    found = shutil.which(linter, path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{linter} is not installed: pip install {linter}-{'bin' if linter == 'hadolint' else 'py'}")
    run(found, *sorted(ROOT.glob(files)))


def test_workflows_call_what_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for workflow in sorted((ROOT / ".github/workflows").glob("*.yml")):
        for asked in re.findall(r"run: make ([a-z-]+)", workflow.read_text()):
            assert asked in targets, f"{workflow.name}: make {asked}"
        for script in re.findall(r"run: bash (\S+)", workflow.read_text()):
            assert (ROOT / script).exists(), f"{workflow.name}: {script}"
    assert all(f"Programming Language :: Python :: 3.{minor}" in PROJECT["classifiers"] for minor in (11, 12, 13))
    assert not any("3.14" in c for c in PROJECT["classifiers"]), "name a version only once all tests have run on it"


def test_every_file_that_quick_tests_leave_out_is_there():
    for name in (ROOT / "tests" / "slow.txt").read_text().split():
        assert (ROOT / "tests" / name).exists(), name


def test_make_demo_says_what_it_does_before_it_does_it(tmp_path):
    """In two seconds, with sizes and time; nothing is installed here (-n)."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    planned = run("make", "-n", "demo", f"PYTHON={sys.executable}", cwd=tmp_path)
    said, installed = planned.index("GB"), planned.index("pip")
    assert said < installed
    assert "--quiet" not in planned
    assert re.search(r"minutes", planned[:installed])
