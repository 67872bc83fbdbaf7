"""Oxford5k's and Paris6k's trees: images, and four ground-truth files a query."""

from __future__ import annotations

from pathlib import Path

from conftest import write_image

# Landmark -> what its two queries' lists hold, numbers of images of that landmark's name.
OXFORD = {
    "all_souls": {"good": (13, 26, 40), "ok": (51,), "junk": (60,)},
    "radcliffe_camera": {"good": (1, 2), "ok": (3,), "junk": ()},
}
PARIS = {
    "defense": {"good": (0, 1), "ok": (2,), "junk": (3,)},
    "eiffel": {"good": (10, 11), "ok": (), "junk": (12,)},
}
UNREADABLE = "paris_defense_000003.jpg"


def make(root: Path, dataset: str = "oxford5k", queries: int = 2) -> None:
    """The tree of `oxford5k` or `paris6k` with two landmarks and `queries` queries each.

    In Oxford `all_souls_000051` is ok for its own landmark and junk for the other's second query;
    `radcliffe_camera_000003` is ok for both landmarks. In Paris `UNREADABLE` is no image.
    """
    oxford = dataset == "oxford5k"
    truth = root / "gt_files"
    truth.mkdir(parents=True)
    for seed, name in enumerate(image_names(dataset)):
        path = root / "images" / name
        write_image(path, seed, size=(40, 30))
        if path.name == UNREADABLE:
            path.write_text("<title>302 Found</title>\n")
    for landmark, lists in (OXFORD if oxford else PARIS).items():
        prefix = landmark if oxford else f"paris_{landmark}"
        for number in range(1, queries + 1):
            asked = f"{prefix}_{lists['good'][0]:06d}"
            box = (1.5, 2.0, 20.25 + number, 28.0)
            line = " ".join([f"oxc1_{asked}" if oxford else asked, *map(str, box)])
            (truth / f"{landmark}_{number}_query.txt").write_text(line + "\n")
            for judgement, images in lists.items():
                names = [f"{prefix}_{image:06d}" for image in images]
                names += _shared(landmark, number, judgement) if oxford else []
                content = "".join(f"{name}\n" for name in names)
                (truth / f"{landmark}_{number}_{judgement}.txt").write_text(content)


def image_names(dataset: str = "oxford5k") -> list[str]:
    """Paths of the images below `images/`, strangers among them, in the order of their names."""
    if dataset == "oxford5k":
        names = [
            f"{landmark}_{number:06d}.jpg"
            for landmark, lists in OXFORD.items()
            for numbers in lists.values()
            for number in numbers
        ]
        return sorted([*names, "oxford_000100.jpg", "worcester_000200.jpg"])
    names = [
        f"{landmark}/paris_{landmark}_{number:06d}.jpg"
        for landmark, lists in PARIS.items()
        for numbers in lists.values()
        for number in numbers
    ]
    return sorted([*names, "general/paris_general_000007.jpg"])


def _shared(landmark: str, number: int, judgement: str) -> list[str]:
    if (landmark, judgement) == ("all_souls", "ok"):
        return ["radcliffe_camera_000003"]
    if (landmark, number, judgement) == ("radcliffe_camera", 2, "junk"):
        return ["all_souls_000051"]
    return []
