# What the rules share of curves and ranked lists: which there are, and what they are drawn from.
DRAWN = [
    (paper, dataset)
    for paper in PLAN.config.papers
    for dataset in PLAN.datasets_of(paper)
    if PLAN.variants_on(paper, dataset)
]


def figures_of(paper, dataset):
    """The curves and lists of every variant of a paper on a dataset."""
    return [
        f"results/figures/{paper}/{variant}/{dataset}/{name}"
        for variant in PLAN.variants_on(paper, dataset)
        for name in ("cmc.svg", "training.svg", "ranked.webp", "ranked.json")
    ]


def sources_of_figures(paper, dataset):
    """The scores and training curves of every seed, the first ranks of the first one's rankings."""
    runs = [
        Run(paper, variant, dataset, seed)
        for variant in PLAN.variants_on(paper, dataset)
        for seed in PLAN.config.seeds
    ]
    first = [run for run in runs if run.seed == PLAN.config.seeds[0]]
    rankings = metrics_of(first, ".parquet")
    return [
        *metrics_of(runs, ".json"),
        *metrics_of(runs, ".per_query.parquet"),
        *(name.replace("results/metrics", "results/rankings", 1) for name in rankings),
        *(f"results/models/{run}/history.csv" for run in runs),
    ]


def settings_of_figures(paper):
    """What the curves and lists of a paper depend on, beside the metrics."""
    settings = PLAN.settings("scale", "seeds", "statistics", "rerankers")
    return settings + PLAN.papers[paper].model_dump_json()
