"""A service whose ear dies ends, so that its manager starts it anew."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.plans.publisher import DocumentPublisher
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .service import Service, inline_run

_FAULT = """
import {module}

def fault(*_, **__):
    raise AssertionError("nobody thought of it")

{module}.{owner}.take = fault

from ringwatch.agent.cli import main

main()
"""
_HEARS = "ringwatch.agent.sources.audit", "Audit"
_LOOKS = "ringwatch.agent.sources.tiled_catalogue", "NewRuns"


@pytest.fixture
def settings(tmp_path: Path) -> str:
    beamline = powder_beamline(tmp_path, detector=256)
    return f'poni = "{beamline.poni_path}"\nclassifier = "none"\n'


def faulty(module: str, owner: str) -> type[Service]:
    """A service with a fault in a thread of its own."""
    code = _FAULT.format(module=module, owner=owner)
    return type("Faulty", (Service,), {"command": (sys.executable, "-c", code)})


def test_it_ends_where_it_no_longer_hears(tmp_path: Path, settings: str) -> None:
    config = tmp_path / "agent.toml"
    documents = 'documents = ["tcp://127.0.0.1:0"]\ndocuments_bind = true\n'
    config.write_text(settings + documents)
    with faulty(*_HEARS)(config) as service:
        with closing(DocumentPublisher(service.address("documents"))) as publish:
            for name, doc in inline_run([np.ones((256, 256), np.uint16)]):
                publish(name, doc)
            assert service.process.wait(60) == 1, service.log
        address = service.address("documents")
        assert f"documents no longer come from {address}" in service.log
        assert "nobody thought of it" in service.log


def test_it_ends_where_it_no_longer_looks(tmp_path: Path, settings: str) -> None:
    config = tmp_path / "agent.toml"
    with EmbeddedTiled(tmp_path / "tiled", readable_storage=[tmp_path]) as tiled:
        tiled.catalog("raw")
        source = f'documents_from = "tiled"\ntiled = "{tiled.uri}"\n'
        config.write_text(settings + source + f'state = "{tmp_path}/state"\n')
        with faulty(*_LOOKS)(config, TILED_API_KEY=tiled.api_key) as service:
            assert service.process.wait(60) == 1, service.log
            assert f"documents no longer come from {tiled.uri}" in service.log
