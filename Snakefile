# The entry of the workflow: `snakemake --cores all`.
# The configuration lies in workflow/; override keys with --config or --configfile.
from snakemake.utils import min_version

min_version("9.5")


include: "rules/common.smk"
include: "rules/common_data.smk"
include: "rules/common_targets.smk"
include: "rules/common_detection.smk"
include: "rules/common_measures.smk"
include: "rules/common_figures.smk"
include: "rules/common_judge.smk"
include: "rules/common_properties.smk"


wildcard_constraints:
    dataset=r"[^/]+",
    run=r"[^/]+/[^/]+/[^/]+/seed\d+",
    subset=r"[^/]+(/[^/]+)?",
    paper=r"[^/]+",
    variant=r"[^/]+",
    table=r"[^/]+",
    figure=r"[^/]+",
    sweep=r"[^/.]+",
    timing=r"[^/.]+",
    kind="parts|keypoints",


# Names to ask for: `snakemake --cores all data`, `models`, ... The default is everything.
localrules:
    all,
    fetch,
    data,
    places,
    models,
    features,
    metrics,
    tables,


# Data that are not here are named at the start, all at once, not one by one in the middle.
onstart:
    stop_without_data(workflow.dag.needrun_jobs())
    # To keep to a rate of submissions (100 a second unless told), Snakemake 9 chooses jobs anew
    # once a second for every job that has ended: with fifty behind it, that takes a third of a
    # core. On one machine the cores are limit enough.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


# Everything by name: where an input of the pages cannot be made, Snakemake would otherwise take
# the pages of an earlier run for given, and say that nothing is to be done.
rule all:
    input:
        all_data(),
        all_places(),
        all_models(),
        all_features(),
        all_metrics(),
        all_tables(),
        all_figures(),
        all_measures(),
        all_looks(),
        all_properties(),
        all_judged(),
        all_pages(),


rule fetch:
    input:
        [
            f"results/fetched/{name}"
            for name in PLAN.datasets
            if not PLAN.is_rendered(name)
        ],


rule data:
    input:
        all_data(),


rule places:
    input:
        all_places(),


rule models:
    input:
        all_models(),


rule features:
    input:
        all_features(),


rule metrics:
    input:
        all_metrics(),


rule tables:
    input:
        all_tables(),
        all_figures(),
        all_measures(),
        all_looks(),
        all_judged(),
        "results/tables/summary.json",


include: "rules/data.smk"
include: "rules/detection.smk"
include: "rules/train.smk"
include: "rules/features.smk"
include: "rules/rerank.smk"
include: "rules/timings.smk"
include: "rules/measures.smk"
include: "rules/tables.smk"
include: "rules/properties.smk"
include: "rules/judge.smk"
include: "rules/report.smk"
