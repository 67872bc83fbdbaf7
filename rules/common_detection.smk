# What the rules of detection share: what a detector and its answers are made from.
def data_of_detector(wildcards):
    """What a detector learns from, or the weights that it takes over."""
    data = getattr(PLAN.config.detectors, wildcards.kind).data
    match data.source:
        case "rendered":
            return data_files(data.dataset)
        case "coco":
            return [str(data.annotations), str(data.categories)]
        case "mpii":
            return [str(data.annotations)]
        case "weights":
            return [str(data.file)]
        case "tensorflow":
            return [
                f"{data.checkpoint}.index",
                *sorted(glob(f"{data.checkpoint}.data-*")),
            ]


def code_of_detector(wildcards):
    """The source of a detector and of what trains it."""
    names = [
        "augment",
        "batches",
        "checkpoint",
        "fitting",
        "guard",
        "pixels",
        "schedule",
    ]
    return code(
        f"{wildcards.kind}/**/*.py",
        *(f"training/{name}.py" for name in names),
        "models/layers/regions.py",
        "models/layers/resnet.py",
        "datasets/images.py",
        "datasets/places.py",
        "devices.py",
        "finished.py",
    )


def settings_of_detector(wildcards):
    """What the weights of a detector depend on: not how it is used."""
    settings = getattr(PLAN.config.detectors, wildcards.kind)
    return settings.model_dump_json(exclude={"detection"})


def settings_of_detection(wildcards):
    """What the boxes or joints of a dataset depend on, beside the weights."""
    brought = getattr(PLAN.dataset(wildcards.dataset), wildcards.kind)
    settings = getattr(PLAN.config.detectors, wildcards.kind)
    if brought:  # imported ones are cut to the same number, and to the same confidence
        used = settings.detection.model_dump_json(include={"boxes", "least"})
        return brought.model_dump_json() + used
    return settings.model_dump_json(exclude={"training", "data"})


def data_of_detection(wildcards):
    """The images and the detector, or the files that stand in for it."""
    files = data_files(wildcards.dataset)
    brought = getattr(PLAN.dataset(wildcards.dataset), wildcards.kind)
    if not brought:
        folder = f"results/detectors/{wildcards.kind}"
        return [*files, f"{folder}/weights.safetensors", f"{folder}/detector.json"]
    match brought.source:
        case "csv":
            return [*files, str(brought.file)]
        case "points":
            return [*files, *map(str, brought.files.values())]
        case "masks":
            return files


def data_files_of_wildcard(wildcards):
    """The files of the dataset that a job names."""
    return data_files(wildcards.dataset)


def annotations_of_detector(wildcards):
    """What a prior of fixed boxes or of a mean pose is made from."""
    dataset = PLAN.trained_on(wildcards.kind) or wildcards.dataset
    names = ("images", "splits", "annotations")
    return [f"results/data/{dataset}/{name}.parquet" for name in names]


def scores_of(kind, dataset):
    """How good the boxes or joints of a dataset are, where the truth is known."""
    return (
        [f"results/{kind}/{dataset}/evaluation.json"]
        if PLAN.is_rendered(dataset)
        else []
    )


def scores_of_places(wildcards):
    """The same for the dataset that a job names."""
    return scores_of(wildcards.kind, wildcards.dataset)
