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


def peer_of_variant(wildcards):
    """What the ranked lists of a paper's main variant are held against, of the first seed."""
    pair = compared(PLAN, wildcards.paper, wildcards.dataset)
    named = "none" in PLAN.rerankers_of(wildcards.paper)
    if pair is None or pair[0] != wildcards.variant or not named:
        return []
    run = first_run(PLAN, f"{wildcards.paper}/{pair[1]}", wildcards.dataset)
    subset = PLAN.subsets(wildcards.dataset)[0]
    return [
        f"results/metrics/{run}/{subset}/none.json",
        f"results/metrics/{run}/{subset}/none.per_query.parquet",
        f"results/rankings/{run}/{subset}/none.parquet",
    ]
