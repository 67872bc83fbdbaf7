"""The figures of the report; each function reads results files and writes one figure."""

from reid_repro.reporting.curves import cmc_figure, training_figure
from reid_repro.reporting.ranked import ranked_lists
from reid_repro.reporting.samples import samples
from reid_repro.reporting.sweeps import sweep_figure

__all__ = ["cmc_figure", "ranked_lists", "samples", "sweep_figure", "training_figure"]
