# All files of each phase, for the names that one asks for.

# The times are taken alone, last of all. Before them comes what only the pages show, beside the
# longest job that does not wait for anything: the tests behind properties.
PROPERTIES, PRESENTATION = -2, -3


def all_times():
    return [
        f"results/timings/{paper}/{timing}.json"
        for paper in PLAN.config.papers
        for timing in PLAN.papers[paper].timings
    ]


def all_data():
    facts = [f"results/data/{dataset}/dataset.json" for dataset in PLAN.datasets]
    learnt = [PLAN.trained_on(kind) for kind in PLAN.detectors]
    drawn = dict.fromkeys([*PLAN.datasets, *filter(None, learnt)])
    return [file for dataset in drawn for file in data_files(dataset)] + facts


def all_places():
    """The part boxes and joints that the networks of the runs need, and what is known of them."""
    files = [
        f"results/detectors/{kind}/{name}"
        for kind in PLAN.detectors
        for name in ("weights.safetensors", "history.csv", "detector.json")
    ]
    for kind, dataset, origin in PLAN.places:
        folder = f"results/{kind}/{dataset}"
        if origin == "truth":
            files.append(f"{folder}/truth.parquet")
        else:
            files += [f"{folder}/{kind}.parquet", f"{folder}/summary.json"]
            files += scores_of(kind, dataset)
    return files


def all_models():
    names = ["weights.safetensors", "history.csv", "run.json"]
    return [f"results/models/{run}/{name}" for run in PLAN.trainings for name in names]


def all_features():
    return [
        f"results/features/{run}/{subset}.{end}"
        for run in PLAN.runs
        for subset in PLAN.subsets(run.dataset)
        for end in ("npy", "parquet")
    ]


def all_metrics():
    rankings = [
        name.replace("results/metrics", "results/rankings", 1)
        for name in singles(".parquet")
    ]
    scores = singles(".json") + singles(".per_query.parquet")
    return scores + rankings + sweeps(".json", ".per_query.parquet") + all_times()


def all_tables():
    return [
        f"results/tables/{paper}/{table}.csv"
        for paper in PLAN.config.papers
        for table in PLAN.tables_of(paper)
    ]


def all_figures():
    figures = [file for drawn in DRAWN for file in figures_of(*drawn)]
    swept = [
        f"results/figures/{paper}/{figure}.svg"
        for paper in PLAN.config.papers
        for figure in PLAN.papers[paper].figures
        if figure in PLAN.tables_of(paper)
    ]
    sheets = [
        f"results/figures/samples/{dataset}.{end}"
        for dataset in PLAN.datasets
        for end in ("webp", "json")
    ]
    sheets += [
        f"results/figures/{kind}/{dataset}.{end}"
        for kind, dataset in PLAN.detected
        for end in ("webp", "json")
    ]
    return figures + swept + sheets


def all_pages():
    summary = ["report/summary.md"] if all_judged() else []
    return [
        "report/index.html",
        *summary,
        *(f"report/papers/{paper}.html" for paper in PLAN.config.papers),
        *(
            f"report/stages/{kind}.html"
            for kind in sorted({k for k, _ in PLAN.detected})
        ),
    ]
