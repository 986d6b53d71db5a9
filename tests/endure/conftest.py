"""What a beamline does to a service in weeks, in minutes.

Quick forms run with all other tests; ``make endure`` sets ``RINGWATCH_ENDURE=full``.
"""

from __future__ import annotations

import os

FULL = os.environ.get("RINGWATCH_ENDURE") == "full"
"""Whether the full figures are asked for."""
