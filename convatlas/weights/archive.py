"""Guards for zip archives (torch, npz, keras) that come from elsewhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

from convatlas.weights.header import WeightsError

# Weights hardly compress: torch stores them as they are, npz and keras reach a factor of two or so. A bomb
# reaches a thousand. The slack lets a small file of zeros pass.
MAX_RATIO = 20
SLACK_BYTES = 64 * 1024 * 1024
MAX_MEMBERS = 100_000


def check_archive(path: Path) -> None:
    """Raise WeightsError for a zip that would unpack to far more than it is, or that is broken."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise WeightsError(f"{path}: a broken zip archive ({error}); fetch or save it again") from error
    size = path.stat().st_size
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_RATIO * size + SLACK_BYTES or len(members) > MAX_MEMBERS:
        raise WeightsError(
            f"{path}: refused: {size} bytes that would unpack to {unpacked} in {len(members)} members look like"
            " a zip bomb; weights hardly compress. Repack the file if you trust it"
        )
