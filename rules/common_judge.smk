# What the rules share of verdicts: which papers have printed cells, and what is written of them.
PRINTED = [
    paper
    for paper in PLAN.config.papers
    if os.path.exists(f"workflow/papers/values/{paper}.csv")
]


def all_judged():
    """The printed cells of each paper beside ours, and the claims of all."""
    if not PRINTED:
        return []
    ledgers = [f"results/ledger/{paper}.csv" for paper in PRINTED]
    return [*ledgers, "results/claims.json", "results/claims.csv"]


def counted():
    """What is counted of the real datasets: their images, splits and part boxes."""
    found = [name for name in PLAN.datasets if not PLAN.is_rendered(name)]
    boxes = [
        f"results/{kind}/{dataset}/{kind}.parquet"
        for kind, dataset in PLAN.detected
        if dataset in found
    ]
    return [file for dataset in found for file in data_files(dataset)] + boxes


def settings_of_verdicts(wildcards):
    """What verdicts depend on, beside the files: which runs, rows and points are planned."""
    return PLAN.digest
