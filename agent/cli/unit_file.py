"""The systemd unit of a service, filled in for its settings."""

from __future__ import annotations

from pathlib import Path
from string import Template

from ringwatch.agent.errors import SettingsError
from ringwatch.agent.settings import Settings

__all__ = ["unit_file"]

_VAR_LIB = Path("/var/lib")
_TEMPLATE = Template("""\
# Ringwatch as a service. Written by `ringwatch serve --config $config --unit`;
# the lines with a remark are those to look at.
[Unit]
Description=Ringwatch: verdicts on powder-diffraction frames
Wants=network-online.target
After=network-online.target

[Service]
# Ready once compiled code is loaded; on the very first start it is made: minutes.
Type=notify
TimeoutStartSec=900
# `useradd --system --no-create-home ringwatch`; it must be able to read the frames.
User=ringwatch
# Relative paths in the settings count from here.
WorkingDirectory=$folder
ExecStart=$command serve --config $config --close-after 20
# Holds TILED_API_KEY=..., readable by root only.
EnvironmentFile=-/etc/ringwatch/environment
Restart=on-failure
RestartSec=5
# 78: settings that cannot be used; 2: this command line. A restart mends neither.
RestartPreventExitStatus=2 78
# Fed while something comes of the frames; a hung file system starves it.
WatchdogSec=60
TimeoutStopSec=30

$state
# Compiled code and font lists: the program's own folder is read-only here.
CacheDirectory=ringwatch
Environment=NUMBA_CACHE_DIR=%C/ringwatch/numba MPLCONFIGDIR=%C/ringwatch/matplotlib

# The whole file system is read-only, but for the folders above. With PrivateTmp frames
# below /tmp cannot be seen; write `PrivateTmp=no` where they are there.
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=$private
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictSUIDSGID=yes
LockPersonality=yes
UMask=0077
# Not MemoryDenyWriteExecute: kernels are compiled while it runs.

[Install]
WantedBy=multi-user.target
""")


def unit_file(command: Path, config: Path, settings: Settings) -> str:
    """Text of a unit for ``ringwatch serve``.

    Parameters
    ----------
    command : Path
        The program ``ringwatch``, absolute.
    config : Path
        The settings' file.
    settings : Settings
        What is in it: for folders that must be writable or seen.

    Raises
    ------
    SettingsError
        Where a path holds a character that a unit cannot hold.
    """
    config = config.absolute()
    named = (settings.poni, settings.mask, settings.dark, *settings.data_roots)
    in_tmp = any(
        path.is_relative_to(tmp)
        for path in (config, *(path for path in named if path is not None))
        for tmp in ("/tmp", "/var/tmp")  # noqa: S108
    )
    return _TEMPLATE.substitute(
        command=_word(command),
        config=_word(config),
        folder=_escaped(config.parent),
        state=_state(settings.state, config.parent),
        private="no" if in_tmp else "yes",
    )


def _state(state: Path | None, folder: Path) -> str:
    """The lines by which the folder of the spool may be written to."""
    if state is None:
        return "# No `state` in the settings: results wait for Tiled in memory only."
    state = folder / state
    if state != _VAR_LIB and state.is_relative_to(_VAR_LIB):
        name = state.relative_to(_VAR_LIB)
        return f"StateDirectory={_word(name)}\nStateDirectoryMode=0700"
    return f"# Make it, and give it to the user.\nReadWritePaths={_word(state)}"


def _escaped(path: Path) -> str:
    text = str(path)
    if not text.isprintable() or set(text) & set("\"'\\"):
        raise SettingsError(
            f"the path {text!r} cannot stand in a unit: name files and folders without "
            "quotes, backslashes and unprintable characters"
        )
    return text.replace("%", "%%")


def _word(path: Path) -> str:
    """As one word of a line."""
    text = _escaped(path).replace("$", "$$")
    return f'"{text}"' if " " in text else text
