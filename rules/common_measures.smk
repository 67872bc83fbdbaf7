# What the rules share of measures: which there are, and what they read.
from reid_repro.measures.recipes import compared, files, first_run, looks_of, measured

MEASURED = list(measured(PLAN))


def all_measures():
    """The values of what figures show, and the size of the networks that a paper prints."""
    found = [
        f"results/measures/{paper}/{dataset}.{end}"
        for paper, dataset in MEASURED
        for end in ("parquet", "json")
    ]
    if "ssrnet" in PLAN.config.papers:
        found.append("results/measures/ssrnet/networks.json")
    return found


def looks(paper, dataset):
    """The picture sheets of a paper on a dataset."""
    return [
        f"results/looks/{paper}/{dataset}/{look.name}.{end}"
        for look in looks_of(PLAN, paper, dataset)
        for end in ("webp", "json")
    ]


def all_looks():
    """Every picture sheet."""
    return [file for paper, dataset in MEASURED for file in looks(paper, dataset)]


def facts_of_dataset(dataset):
    """A dataset with its protocol; its annotations, where it is rendered, are part of it."""
    return [*data_files(dataset), f"results/data/{dataset}/dataset.json"]
