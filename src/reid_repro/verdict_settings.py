"""The thresholds behind verdicts: the types of `workflow/verdicts.yaml`, read and hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from reid_repro.checking import Strict, checked, read_yaml
from reid_repro.files import sha256

FILE = Path("workflow/verdicts.yaml")

Level = Annotated[float, Field(gt=0.5, lt=1)]
Seed = Annotated[int, Field(ge=0)]


class Resampling(Strict):
    """Joint bootstrap of the test sets: how many resamples."""

    resamples: int = Field(ge=100)
    seed: Seed


class Permutations(Strict):
    """Paired randomisation tests: how many swaps are tried."""

    resamples: int = Field(ge=199)
    seed: Seed


class Band(Strict):
    """Half-width of the band in which two results are the same, in points."""

    mAP: float = Field(gt=0)
    rank: float = Field(gt=0)

    def of(self, metric: str) -> float:
        """That of mAP or of Rank-k (`R1`, `R5`, ...)."""
        return self.mAP if metric == "mAP" else self.rank


class ValueSettings(Strict):
    """Printed values beside ours: the band is at least `band`, or `seed_sds` times the seeds' sd.

    With fewer than `seeds` seeds a value is inconclusive.
    """

    band: Band
    seed_sds: float = Field(gt=0)
    level: Level
    seeds: int = Field(ge=2)


class ClaimSettings(Strict):
    """When a comparison is supported, and when a claim is.

    A paired comparison needs P(A > B) >= `improvement`, the lower end of the interval of that share
    above `lower`, and p < `alpha` after Holm's correction; any other, a share of resamples of at
    least `certainty`. Times that lie within `time_noise` of each other have no order. `part` of
    the comparisons have to be supported for "partially".
    """

    level: Level
    improvement: float = Field(gt=0.5, lt=1)
    lower: float = Field(ge=0.5, lt=1)
    alpha: float = Field(gt=0, lt=0.5)
    certainty: Level
    part: float = Field(gt=0, lt=1)
    time_noise: float = Field(ge=0, lt=1)


class VerdictSettings(Strict):
    """The file workflow/verdicts.yaml."""

    resampling: Resampling
    permutations: Permutations
    values: ValueSettings
    claims: ClaimSettings


def read(file: Path = FILE) -> VerdictSettings:
    """The settings; UserError names a wrong or missing key."""
    return checked(VerdictSettings, read_yaml(file), str(file))


def digest(file: Path = FILE) -> str:
    """The SHA-256 of the file, which the results carry."""
    return sha256(file)
