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
from reid_repro.rows import (
    every_single,
    points_of,
    reranker_on,
    rows_of,
    runs_of_row,
    swept_runs,
)

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
    """What rankings depend on, beside the features: of the run's dataset."""

    def settings(wildcards):
        dataset = Run.parse(wildcards.run).dataset
        return json.dumps(
            {name: reranker_on(PLAN, name, dataset).model_dump() for name in names}
        )

    return settings


def settings_of_features(wildcards):
    """What extraction depends on, beside the weights; or what is taken over."""
    brought = PLAN.features_of(Run.parse(wildcards.run))
    if brought:
        return str({subset: str(files) for subset, files in brought.items()})
    return PLAN.settings("features")


def data_of_features(wildcards):
    """What descriptors are made from: images and a network, or the user's files."""
    run = Run.parse(wildcards.run)
    brought = PLAN.features_of(run)
    if brought:
        files = brought[wildcards.subset]
        return [*data_files(run.dataset), str(files.query), str(files.gallery)]
    folder = f"results/models/{run}"
    model = [f"{folder}/weights.safetensors", f"{folder}/run.json"]
    return [*data_of_run(wildcards), *model, *code_of_network(wildcards)]


def settings_of_sweeps(paper):
    """The points of a paper's sweeps: what their scores depend on, beside the features."""

    def settings(wildcards):
        dataset = Run.parse(wildcards.run).dataset
        points = {
            sweep: points_of(PLAN, paper, sweep, dataset)
            for sweep in PLAN.papers[paper].sweeps
        }
        return json.dumps(
            {
                sweep: {name: point.model_dump() for name, point in found.items()}
                for sweep, found in points.items()
            }
        )

    return settings


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


def settings_of_report(wildcards):
    """What the pages depend on, beside tables and figures."""
    return PLAN.digest


def code_of_network(wildcards):
    """The source of a run's network."""
    return code(f"models/{PLAN.resolve(wildcards.run).model.name}.py")


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


def sources_of_table(wildcards):
    """What a table is made from: summaries and per-query values, or times."""
    paper = PLAN.papers[wildcards.paper]
    if wildcards.table in paper.time_tables:
        timing = paper.time_tables[wildcards.table].timing
        return f"results/timings/{wildcards.paper}/{timing}.json"
    files = []
    for row in rows_of(PLAN, wildcards.paper, wildcards.table):
        sweep, _, point = row.ranking.partition(".")
        for run in runs_of_row(PLAN, wildcards.paper, wildcards.table, row):
            for subset in PLAN.subsets(run.dataset):
                if point:
                    files.append(
                        f"results/sweeps/{wildcards.paper}/{sweep}/{run}/{subset}"
                    )
                else:
                    files.append(f"results/metrics/{run}/{subset}/{row.ranking}")
    ends = (".json", ".per_query.parquet")
    return [file + end for file in dict.fromkeys(files) for end in ends]
