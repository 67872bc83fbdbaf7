# The entry of the workflow: `snakemake --cores all`.
# The configuration lies in workflow/; override keys with --config or --configfile.
from snakemake.utils import min_version

min_version("9.5")


include: "rules/common.smk"


wildcard_constraints:
    dataset=r"[^/]+",
    run=r"[^/]+/[^/]+/[^/]+/seed\d+",
    subset=r"[^/]+(/[^/]+)?",
    reranker=r"[^/.]+",
    paper=r"[^/]+",
    variant=r"[^/]+",
    table=r"[^/]+",


onstart:
    remember_owner(workflow.exec_mode)


# Names to ask for: `snakemake --cores all data`, `models`, ... The default is everything.
localrules:
    all,
    data,
    models,
    features,
    metrics,
    tables,


rule all:
    input:
        all_pages(),


rule data:
    input:
        all_data(),


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
        "results/tables/summary.json",


include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/features.smk"
include: "rules/rerank.smk"
include: "rules/tables.smk"
include: "rules/report.smk"
