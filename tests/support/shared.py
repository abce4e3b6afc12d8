"""Where Istio's own files are, beside the repository: nothing of them is copied into it.

A test that reads them is marked `needs_shared`; where they are absent tests/conftest.py skips it.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ISTIO = Path(os.environ.get("TULLE_SHARED") or ROOT.parent / "shared") / "istio"
CRDS = ISTIO / "crds.yaml"
SAMPLES = ISTIO / "samples"
ABSENT = "Istio's files are absent: ../shared/istio, or istio/ in the folder TULLE_SHARED"
