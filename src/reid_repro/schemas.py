"""JSON schemas of the files in workflow/, generated from the typed configuration.

Editors that know YAML schemas complete and check those files with them. A test keeps the
committed copies in step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from reid_repro.benchmarks import BenchmarkConfig
from reid_repro.config import Config, DatasetConfig, PaperConfig
from reid_repro.deviations import DeviationsFile
from reid_repro.files import whole
from reid_repro.ledger.claims import ClaimsFile
from reid_repro.ledger.properties import PropertiesFile
from reid_repro.verdict_settings import VerdictSettings


def schemas() -> dict[str, dict[str, Any]]:
    """File name to schema."""
    dataset: TypeAdapter[Any] = TypeAdapter(DatasetConfig)
    benchmarks: TypeAdapter[Any] = TypeAdapter(dict[str, BenchmarkConfig])
    return {
        "benchmarks.schema.json": benchmarks.json_schema(),
        "claims.schema.json": ClaimsFile.model_json_schema(),
        "config.schema.json": Config.model_json_schema(),
        "deviations.schema.json": DeviationsFile.model_json_schema(),
        "dataset.schema.json": dataset.json_schema(),
        "paper.schema.json": PaperConfig.model_json_schema(),
        "properties.schema.json": PropertiesFile.model_json_schema(),
        "verdicts.schema.json": VerdictSettings.model_json_schema(),
    }


def write(folder: Path) -> list[Path]:
    """Write every schema into `folder`."""
    for name, schema in schemas().items():
        with whole(folder / name) as beside:
            beside.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    return [folder / name for name in schemas()]
