"""Settings of the service recorder."""

from pathlib import Path

from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory_dialect.catalogue import DEFAULT_INTERFACES
from pydantic import Field


class RecorderSettings(CommonSettings):
    """Beside the common ones: how much is kept, which vehicles there are, where files lie while they are imported."""

    recorder_bytes: int = Field(default=4 * 1024**3, ge=1, description="Bytes that all recordings may have together.")
    vda5050_interfaces: tuple[str, ...] = Field(
        default=DEFAULT_INTERFACES, description="Interface names of VDA 5050 vehicles, the same as ingest's."
    )
    recorder_folder: Path | None = Field(
        default=None, description="Folder of files that are being imported; default: recorder in state_dir."
    )
