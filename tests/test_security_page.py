"""SECURITY.md: the tests that it names exist, and what it says of the code holds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from ringwatch.agent.errors import SettingsError
from ringwatch.agent.settings_file import load_settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("agent", "benchmarks", "models", "plans", "simulated_beamline")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve"}
MODULES |= {"marshal", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {("torch", "load"), ("yaml", "load"), ("yaml", "unsafe_load")}
METHODS |= {("os", "system"), ("os", "popen"), ("pandas", "read_pickle")}


def test_each_test_that_is_named_exists() -> None:
    named = NAMED.findall((ROOT / "SECURITY.md").read_text())
    assert len(named) > 25
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text())
        assert name.startswith("test_")
        assert name in {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}


def test_no_line_of_the_table_is_without_a_test() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    table = page.split("## What is done")[1].split("## What is not")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert all(NAMED.search(row) for row in rows)


def faults(tree: ast.AST) -> Iterator[str]:
    """What a module does that could run what it reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            yield from names & MODULES
        elif isinstance(node, ast.ImportFrom):
            yield from {(node.module or "").split(".")[0]} & MODULES
        elif isinstance(node, ast.Call):
            yield from _faults_of_call(node)


def _faults_of_call(call: ast.Call) -> Iterator[str]:
    called = call.func
    if isinstance(called, ast.Name) and called.id in CALLS:
        yield called.id
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        method = called.value.id, called.attr
        yield from {".".join(method)} if method in METHODS else ()
    for keyword in call.keywords:
        chosen = keyword.value
        is_false = isinstance(chosen, ast.Constant) and chosen.value is False
        if keyword.arg in ("allow_pickle", "shell") and not is_false:
            yield str(keyword.arg)


def test_no_package_runs_what_it_reads() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    found = {file: list(faults(ast.parse(file.read_text()))) for file in files}
    assert not {str(file): what for file, what in found.items() if what}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from dill import loads",
        "eval('1')",
        "exec(text)",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=chosen)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_what_runs_what_it_reads_is_seen(code: str) -> None:
    assert list(faults(ast.parse(code)))
    assert not list(faults(ast.parse("np.load(path, allow_pickle=False)")))


def test_weights_are_numbers_only() -> None:
    folder = ROOT / "models" / "weights"
    assert not [p for p in folder.rglob("*") if p.suffix in (".pt", ".pth", ".pkl")]
    files = list(folder.rglob("*.safetensors"))
    assert files
    for file in files:
        assert all(array.dtype.kind in "fiu" for array in load_file(file).values())


def test_half_of_curve_is_an_error(tmp_path: Path) -> None:
    for half in (
        {"curve_clients": tmp_path},
        {"curve_key": tmp_path / "key", "publish": "tcp://127.0.0.1:0"},
        {"curve_key": tmp_path / "key", "documents": ("tcp://127.0.0.1:1",)},
    ):
        with pytest.raises(SettingsError, match="curve_"):
            load_settings(**half)
