"""Writes the dashboards as JSON: python deploy/grafana/generator [FOLDER]; the default is deploy/grafana/dashboards."""

import json
import sys
from pathlib import Path

from actions_board import actions
from bus_board import bus
from devices_board import devices
from factory_board import factory
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from overview_board import overview
from sensors_board import sensors
from services_board import services
from zones_board import zones


def main(folder: Path) -> None:
    """Write one file a dashboard; the same code writes the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for make in (overview, zones, devices, sensors, actions, factory, services, bus):
        board = make().build()
        for place, panel in enumerate(board.panels or [], 1):
            panel.id_val = place
        text = json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / f"{make.__name__}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "dashboards")
