# What the rules share: the plan, lists of files, the code that each phase depends on.
import json
import os
import sys
from glob import glob

from snakemake import benchmark
from snakemake.exceptions import WorkflowError

from reid_repro.dataset_config import MODULES
from reid_repro.errors import UserError
from reid_repro.locks import enter
from reid_repro.networks import needs
from reid_repro.plan import Run, load
from reid_repro.rows import every_single, points_of, rows_of, swept_runs

# For `benchmark:` Snakemake walks through the memory of every job twice a second, at the cost of a
# tenth of a core with networks in it. Every few seconds will do.
benchmark.BENCHMARK_INTERVAL_SHORT = 2.5

# Jobs find the programs of this very environment, activated or not.
os.environ.update(
    PATH=os.pathsep.join([os.path.dirname(sys.executable), *os.get_exec_path()])
)

enter(workflow.exec_mode)

try:
    PLAN = load(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

# The overrides travel to the command line, which reads the same files in workflow/. Not as an
# argument: then every override would rerun every rule, instead of those whose `params` it changes.
os.environ.update(REID_REPRO_CONFIG=json.dumps(config))


# What decides the weights of a training, beside the file of its network.
TRAINING = [
    "models/__init__.py",
    "models/outputs.py",
    "models/layers/*.py",
    "training/*.py",
    "datasets/images.py",
    "datasets/places.py",
    "devices.py",
]


# At demo scale two small networks on a thread each are trained sooner than one after the other.
NETWORK_THREADS = 1 if PLAN.config.scale == "demo" else 8


def code(*patterns):
    """Source files of the package: an edit reruns what depends on it, and nothing else."""
    found = []
    for pattern in patterns:
        found += sorted(glob(f"src/reid_repro/{pattern}", recursive=True))
    return found


FACTS = {
    *("title", "homepage", "licence", "citation", "protocol", "official", "printed"),
    *("access", "archives", "expected", "parts", "keypoints"),
}


def settings_of_content(wildcards):
    """What a dataset's images and splits depend on."""
    return PLAN.dataset(wildcards.dataset).model_dump_json(exclude=FACTS)


def settings_of_facts(wildcards):
    """What is said of a dataset beside its content, and how it is scored."""
    return PLAN.dataset(wildcards.dataset).model_dump_json(include=FACTS)


def settings_of_run(wildcards):
    """What a training depends on: neither its devices nor its workers change the weights."""
    aside = {"training": {"devices", "workers"}}
    return PLAN.resolve(wildcards.run).model_dump_json(exclude=aside)


def gpus_of_run(wildcards):
    """One a device of the training; none at demo scale."""
    if PLAN.config.scale == "demo":
        return 0
    return PLAN.resolve(wildcards.run).training.devices


def rankings_by_paper():
    """The re-rankers that score runs by themselves, by the paper that the runs belong to."""
    found = {}
    for run, name in every_single(PLAN):
        found.setdefault(run.paper, {})[name] = None
    return {paper: list(names) for paper, names in found.items()}


def settings_of_rerankers(names):
    """What rankings depend on, beside the features."""
    return json.dumps(
        {name: PLAN.config.rerankers[name].model_dump() for name in names}
    )


def settings_of_features(wildcards):
    """What extraction depends on, beside the weights."""
    return PLAN.settings("features")


def settings_of_sweeps(paper):
    """The points of a paper's sweeps: what their scores depend on, beside the features."""
    points = {
        sweep: points_of(PLAN, paper, sweep) for sweep in PLAN.papers[paper].sweeps
    }
    return json.dumps(
        {
            sweep: {name: point.model_dump() for name, point in found.items()}
            for sweep, found in points.items()
        }
    )


def settings_of_times(wildcards):
    """What is timed, and how."""
    timing = PLAN.papers[wildcards.paper].timings[wildcards.timing]
    return PLAN.settings("scale", "timings") + timing.model_dump_json()


def settings_of_table(wildcards):
    """What a table depends on, beside the metrics or times."""
    paper = PLAN.papers[wildcards.paper]
    if wildcards.table in paper.time_tables:
        return paper.time_tables[wildcards.table].model_dump_json()
    rows = [vars(row) for row in rows_of(PLAN, wildcards.paper, wildcards.table)]
    shown = {**paper.tables, **paper.figures}[wildcards.table].model_dump_json()
    return PLAN.settings("scale", "seeds", "statistics") + json.dumps(rows) + shown


def settings_of_figures(wildcards):
    """What the curves and lists of a variant depend on, beside the metrics."""
    paper = PLAN.papers[wildcards.paper].model_dump_json()
    return PLAN.settings("scale", "seeds", "statistics", "rerankers") + paper


def settings_of_report(wildcards):
    """What the pages depend on, beside tables and figures."""
    return PLAN.digest


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


def code_of_network(wildcards):
    """The source of a run's network."""
    return code(f"models/{PLAN.resolve(wildcards.run).model.name}.py")


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


def runs_of(wildcards):
    """The runs behind one variant on one dataset: one a seed."""
    return [
        Run(wildcards.paper, wildcards.variant, wildcards.dataset, seed)
        for seed in PLAN.config.seeds
    ]


def metrics_of(runs, suffix):
    """The files of every ranking of `runs` under their own paper."""
    return [
        f"results/metrics/{run}/{subset}/{reranker}{suffix}"
        for run in runs
        for subset in PLAN.subsets(run.dataset)
        for reranker in PLAN.rerankers_of(run.paper)
    ]


def singles(suffix):
    """The files of every ranking that is scored by itself, whichever papers show it."""
    return [
        f"results/metrics/{run}/{subset}/{name}{suffix}"
        for run, name in every_single(PLAN)
        for subset in PLAN.subsets(run.dataset)
    ]


def sweeps(*suffixes):
    """The files of every sweep on every run."""
    return [
        f"results/sweeps/{paper}/{sweep}/{run}/{subset}{suffix}"
        for paper in PLAN.config.papers
        for sweep, run in swept_runs(PLAN, paper)
        for subset in PLAN.subsets(run.dataset)
        for suffix in suffixes
    ]


def all_times():
    return [
        f"results/timings/{paper}/{timing}.json"
        for paper in PLAN.config.papers
        for timing in PLAN.papers[paper].timings
    ]


def sources_of_table(wildcards):
    """What a table is made from: summaries and per-query values, or times."""
    paper = PLAN.papers[wildcards.paper]
    if wildcards.table in paper.time_tables:
        timing = paper.time_tables[wildcards.table].timing
        return f"results/timings/{wildcards.paper}/{timing}.json"
    files = []
    for row in rows_of(PLAN, wildcards.paper, wildcards.table):
        sweep, _, point = row.ranking.partition(".")
        datasets = PLAN.datasets_of(wildcards.paper)
        for run in PLAN.runs_of_variant(row.paper, row.variant, datasets):
            for subset in PLAN.subsets(run.dataset):
                if point:
                    files.append(
                        f"results/sweeps/{wildcards.paper}/{sweep}/{run}/{subset}"
                    )
                else:
                    files.append(f"results/metrics/{run}/{subset}/{row.ranking}")
    ends = (".json", ".per_query.parquet")
    return [file + end for file in dict.fromkeys(files) for end in ends]


def metrics_of_variant(wildcards):
    """The same for one variant on one dataset."""
    runs = runs_of(wildcards)
    return metrics_of(runs, ".json") + metrics_of(runs, ".per_query.parquet")


def rankings_of_variant(wildcards):
    """The first ranks of the first seed's rankings."""
    run = runs_of(wildcards)[0]
    return [
        f"results/rankings/{run}/{subset}/{name}.parquet"
        for subset in PLAN.subsets(run.dataset)
        for name in PLAN.rerankers_of(run.paper)
    ]


def histories_of_variant(wildcards):
    """The training curves of every seed."""
    return [f"results/models/{run}/history.csv" for run in runs_of(wildcards)]


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
    return [f"results/models/{run}/{name}" for run in PLAN.runs for name in names]


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
    names = ("cmc.svg", "training.svg", "ranked.webp", "ranked.json")
    figures = [
        f"results/figures/{paper}/{variant}/{dataset}/{name}"
        for paper in PLAN.config.papers
        for dataset in PLAN.datasets_of(paper)
        for variant in PLAN.variants_on(paper, dataset)
        for name in names
    ]
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
    return [
        "report/index.html",
        *(f"report/papers/{paper}.html" for paper in PLAN.config.papers),
        *(
            f"report/stages/{kind}.html"
            for kind in sorted({k for k, _ in PLAN.detected})
        ),
    ]
