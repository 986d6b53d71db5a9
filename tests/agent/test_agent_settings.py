"""What an agent is made with: errors at the start, one TOML file, and its identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringwatch.agent import Agent
from ringwatch.agent.agent import load_classifier
from ringwatch.agent.errors import GeometryError, SettingsError, SinkError
from ringwatch.agent.settings import Settings
from ringwatch.agent.settings_file import load_settings


def test_what_can_be_known_at_start_is_an_error_at_start(
    poni: Path, tmp_path: Path
) -> None:
    with pytest.raises(GeometryError, match="no geometry"):
        Agent(classifier="none")
    with pytest.raises(GeometryError, match="absent"):
        Agent(poni=tmp_path / "absent.poni", classifier="none")
    with pytest.raises(GeometryError, match="no mask at"):
        Agent(poni=poni, mask=tmp_path / "absent.npy", classifier="none")
    with pytest.raises(SettingsError, match="'ponny'; did you mean 'poni'"):
        Agent(ponny=poni)
    with pytest.raises(SettingsError, match="center_floor"):
        Agent(poni=poni, quality={"bar": 1})
    with pytest.raises(SinkError, match="65535"):
        Agent(poni=poni, classifier="none", publish="tcp://127.0.0.1:99999")
    with pytest.raises(SinkError, match="allow_remote"):
        Agent(poni=poni, classifier="none", publish="tcp://0.0.0.0:5599")
    with pytest.raises(SettingsError, match="classifier"):
        Agent(poni=poni, weights=tmp_path / "absent.safetensors")
    with pytest.raises(SettingsError, match="npt"):
        Agent(poni=poni, npt=5000)
    with (
        Agent(poni=poni, classifier="none", publish="tcp://127.0.0.1:*") as first,
        pytest.raises(SinkError),
    ):
        Agent(poni=poni, classifier="none", publish=first.address)


def test_settings_come_from_one_toml_file(poni: Path, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f'poni = "{poni}"\nclassifier = "none"\n[quality]\n')
    settings = load_settings(path, detector="det_image")
    assert settings.poni == poni
    assert settings.detector == "det_image"
    with Agent(path, detector="det_image") as agent:
        assert agent.settings == settings
    path.write_text("npt = [")
    with pytest.raises(SettingsError, match="TOML"):
        load_settings(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="TOML"):
        load_settings(path)
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path / "absent.toml")


def test_analysis_id_tells_settings_apart(poni: Path) -> None:
    def identify(**options: Any) -> str:
        with Agent(poni=poni, classifier="none", **options) as agent:
            return agent.analysis.analysis_id

    assert identify() == identify()
    assert identify() == identify(publish="tcp://127.0.0.1:*")  # plumbing
    assert identify() != identify(npt=100)
    assert identify() != identify(polarization=0.5)
    assert identify() != identify(split="full")
    assert load_classifier(Settings(classifier="none")) is None
