"""Typed facts of datasets: where they come from, what they must hold, how they are scored.

One file of workflow/datasets each. `source` names the layout of its folder or the way it is drawn.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from reid_repro.checking import Strict
from reid_repro.detectors import KeypointsImport, PartsImport

__all__ = [
    "Archive",
    "CsvDataset",
    "Cuhk03Dataset",
    "DatasetBase",
    "DatasetConfig",
    "DatasetFile",
    "FeatureFiles",
    "FolderDataset",
    "LandmarksDataset",
    "MarketDataset",
    "Printed",
    "Protocol",
    "RenderedDataset",
    "University1652Dataset",
    "VehicleIdDataset",
    "Veri776Dataset",
    "VeriWildDataset",
    "ViperDataset",
    "VricDataset",
]

# The module of reid_repro.datasets that reads each layout: `load(name, config)` gives a Dataset.
MODULES = {
    "market1501": "market1501",
    "csv": "csv_list",
    "veri776": "veri776",
    "vehicleid": "vehicleid",
    "vric": "vric",
    "veriwild": "veriwild",
    "cuhk03": "cuhk03",
    "viper": "viper",
    "landmarks": "landmarks",
    "university1652": "university1652",
}


class Protocol(Strict):
    """How a dataset is scored (design page: file contracts)."""

    same_camera: Literal["remove", "keep"] = "remove"
    ap: Literal["step", "trapezoid"] = "step"
    single_gallery_shot: bool = False
    repeats: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _repeats_need_draws(self) -> Protocol:
        if self.repeats > 1 and not self.single_gallery_shot:
            raise ValueError("repeats above 1 need single_gallery_shot: nothing else is drawn")
        return self


class Archive(Strict):
    """A file that the dataset comes in.

    `file` is its name as published. Without `url` it is fetched by hand and put into the dataset's
    root. `sha256` or `md5` where the publisher states one. `password` for archives whose owners
    give one. `into` is the folder below the root that it is unpacked to, `strip` the number of
    leading folders taken off its members' paths; `unpack: false` leaves it as it is.
    """

    file: str
    url: str = ""
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$")
    md5: str = Field("", pattern="^([0-9a-f]{32})?$")
    password: str = ""
    into: str = "."
    strip: int = Field(0, ge=0)
    unpack: bool = True

    @field_validator("file", "into")
    @classmethod
    def _below_the_root(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"'{value}' leaves the dataset's root")
        return value


class Printed(Strict):
    """A count as a paper prints it, where it is not the dataset's own."""

    paper: str
    what: str
    printed: int
    counted: int
    note: str = ""


class FeatureFiles(Strict):
    """Descriptors made elsewhere: a row an image, in the order of the queries and the gallery."""

    query: Path
    gallery: Path


class DatasetBase(Strict):
    """What every dataset states, whatever its source.

    `official` holds counts (images, identities, cameras) by role: `train`, `query`, `gallery` of
    the subset `test`, or `small/query` for a subset of another name. `parts` and `keypoints` name
    files that stand in for the detectors of the scale, `features` those that stand in for a
    training: PAPER/VARIANT -> subset -> files.
    """

    source: str
    title: str = ""
    subject: Literal["vehicle", "pedestrian", "place"] = "pedestrian"
    homepage: str = ""
    licence: str = ""
    citation: str = ""
    protocol: Protocol = Protocol()
    official: dict[str, dict[str, int]] = Field(default_factory=dict)
    printed: tuple[Printed, ...] = ()
    parts: PartsImport | None = None
    keypoints: KeypointsImport | None = None
    features: dict[str, dict[str, FeatureFiles]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _features_of_every_subset(self) -> DatasetBase:
        for run, files in self.features.items():
            if set(files) != set(self.subsets):
                wanted, found = ", ".join(self.subsets), ", ".join(files) or "none"
                raise ValueError(f"features.{run}: files of {wanted} are needed, found {found}")
        return self

    @property
    def trains(self) -> bool:
        """Whether it has images to train on."""
        return True

    @property
    def subsets(self) -> tuple[str, ...]:
        """The test subsets, in the order of tables."""
        return ("test",)


class RenderedDataset(DatasetBase):
    """A set drawn by `reid_repro.rendering`; identities of the two halves never overlap."""

    source: Literal["rendered"]
    seed: int = Field(0, ge=0)
    train_identities: int = Field(ge=2)
    test_identities: int = Field(ge=2)
    cameras: int = Field(6, ge=2)
    train_images_per_camera: int = Field(3, ge=1)
    test_images_per_camera: int = Field(2, ge=2)
    group_size: int = Field(4, ge=1)
    height: int = Field(128, ge=32)
    width: int = Field(128, ge=32)


class FolderDataset(DatasetBase):
    """A dataset in a folder of the user's.

    `access` says who gives it: `open` (anybody downloads `archives`), `form` (the home page has a
    form to sign) or `own` (the user's own images). `expected` are the files and folders below
    `root` that a whole copy has. With `allow_partial` images that are missing are left out.
    """

    root: Path
    access: Literal["open", "form", "own"] = "own"
    archives: tuple[Archive, ...] = ()
    expected: tuple[str, ...] = ()
    allow_partial: bool = False


class MarketDataset(FolderDataset):
    """A folder in the Market-1501 layout."""

    source: Literal["market1501"]


class CsvDataset(FolderDataset):
    """Images of one's own: a CSV of `path,identity,camera,role`, paths relative to `root`."""

    source: Literal["csv"]
    list: Path


class Veri776Dataset(FolderDataset):
    """VeRi-776 (Liu et al. 2016): three folders, three name lists, labels in XML."""

    source: Literal["veri776"]


class VehicleIdDataset(FolderDataset):
    """VehicleID (Liu et al. 2016): `draws` seeded galleries of one image an identity."""

    source: Literal["vehicleid"]
    draws: int = Field(10, ge=1)
    seed: int = Field(0, ge=0)

    @property
    def subsets(self) -> tuple[str, ...]:
        """The three test lists, of 800, 1,600 and 2,400 identities."""
        return ("small", "medium", "large")


class VricDataset(FolderDataset):
    """VRIC (Kanaci et al. 2018): three folders and three lists."""

    source: Literal["vric"]


class VeriWildDataset(FolderDataset):
    """VERI-Wild (Lou et al. 2019): three sizes of query and gallery lists."""

    source: Literal["veriwild"]

    @property
    def subsets(self) -> tuple[str, ...]:
        """The three sizes, of 3,000, 5,000 and 10,000 identities."""
        return ("small", "medium", "large")


class Cuhk03Dataset(FolderDataset):
    """CUHK03 (Li et al. 2014): one MATLAB v7.3 file.

    `division` is `classic` (split number `split` of the twenty) or `new` (767/700, Zhong et al.
    2017); `crops` the hand-drawn or the detected boxes.
    """

    source: Literal["cuhk03"]
    crops: Literal["labelled", "detected"] = "labelled"
    division: Literal["classic", "new"] = "new"
    split: int = Field(0, ge=0, le=19)


class ViperDataset(FolderDataset):
    """VIPeR (Gray & Tao 2008): two folders; half `split` of `splits` seeded random halves.

    `directions` 2 scores gallery and queries exchanged too, as another trial.
    """

    source: Literal["viper"]
    split: int = Field(0, ge=0)
    splits: int = Field(10, ge=1)
    seed: int = Field(0, ge=0)
    directions: Literal[1, 2] = 1

    @model_validator(mode="after")
    def _a_split_that_exists(self) -> ViperDataset:
        if self.split >= self.splits:
            raise ValueError(f"split {self.split}: there are {self.splits}, from 0")
        return self


class LandmarksDataset(FolderDataset):
    """Oxford5k or Paris6k (Philbin et al. 2007, 2008): images and ground-truth text files.

    `unreadable` names images of the release that are known to be damaged: left out.
    """

    source: Literal["landmarks"]
    images: str = "images"
    truth: str = "gt_files"
    unreadable: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        """It has none."""
        return False


class University1652Dataset(FolderDataset):
    """University-1652 (Zheng et al. 2020): drone pictures ask, satellite pictures answer."""

    source: Literal["university1652"]


DatasetConfig = Annotated[
    RenderedDataset
    | MarketDataset
    | CsvDataset
    | Veri776Dataset
    | VehicleIdDataset
    | VricDataset
    | VeriWildDataset
    | Cuhk03Dataset
    | ViperDataset
    | LandmarksDataset
    | University1652Dataset,
    Field(discriminator="source"),
]


class DatasetFile(Strict):
    """One file of workflow/datasets."""

    dataset: DatasetConfig
