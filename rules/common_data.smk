# What the rules share of datasets: what decides them, what they hold, what the runs read of them.


FACTS = {
    *("title", "homepage", "licence", "citation", "protocol", "official", "printed"),
    *("access", "archives", "expected", "parts", "keypoints"),
}


def settings_of_content(wildcards):
    """What a dataset's images and splits depend on."""
    return PLAN.dataset(wildcards.dataset).model_dump_json(exclude=FACTS | {"features"})


def settings_of_facts(wildcards):
    """What is said of a dataset beside its content, and how it is scored."""
    return PLAN.dataset(wildcards.dataset).model_dump_json(include=FACTS)


def list_of_dataset(wildcards):
    """The user's list of a CSV dataset: an edit indexes it anew."""
    listed = getattr(PLAN.dataset(wildcards.dataset), "list", None)
    return [str(listed)] if listed else []


def stop_without_data(jobs):
    """Stop before the first job where datasets that the jobs index do not lie here."""
    from reid_repro.phases.data_status import absent

    wanted = [job.wildcards.dataset for job in jobs if job.rule.name == "index_dataset"]
    lines = absent(PLAN, sorted(wanted))
    if lines:
        raise WorkflowError("datasets are missing:\n" + "\n".join(lines))


# Layouts that are read from lists of names.
BY_LISTS = {"veri776", "vehicleid", "vric", "veriwild"}


def layout_of_dataset(wildcards):
    """The source that reads the layout of a dataset in a folder."""
    layout = MODULES[PLAN.dataset(wildcards.dataset).source]
    shared = ["datasets/vehicle_lists.py"] if layout in BY_LISTS else []
    return code(f"datasets/{layout}.py", *shared)


def data_of_run(wildcards):
    """The files of a run's dataset; rendered ones bring their pixels, some runs need places."""
    dataset = Run.parse(wildcards.run).dataset
    resolved = PLAN.resolve(wildcards.run)
    kind = needs(resolved.model)
    name = "truth" if resolved.places == "truth" else kind
    places = [] if kind == "none" else [f"results/{kind}/{dataset}/{name}.parquet"]
    return data_files(dataset) + places


def data_files(dataset):
    """What one dataset holds; its facts (dataset.json) lie beside."""
    names = ["images.parquet", "splits.parquet", "content.json"]
    if PLAN.is_rendered(dataset):
        names += ["pixels.arrow", "annotations.parquet"]
    else:
        names.append("judgements.parquet")
    return [f"results/data/{dataset}/{name}" for name in names]


def data_of_dataset(wildcards):
    """The files that the pictures of one dataset show."""
    return [
        *data_files(wildcards.dataset),
        f"results/data/{wildcards.dataset}/dataset.json",
    ]


def facts_of_run(wildcards):
    """The facts of a run's dataset, the protocol among them, its splits and what people judged."""
    dataset = Run.parse(wildcards.run).dataset
    names = ["dataset.json", "splits.parquet"]
    if not PLAN.is_rendered(dataset):
        names.append("judgements.parquet")
    return [f"results/data/{dataset}/{name}" for name in names]
