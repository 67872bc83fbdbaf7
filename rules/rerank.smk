# Phase metrics: each ranking of each run, scored. `none` is the bare distance.
# At demo scale a ranking takes less time than a start of Python: side by side they are done sooner.
RANKING_THREADS = 1 if PLAN.config.scale == "demo" else 8


rule score:
    input:
        "results/features/{run}/{subset}.npy",
        "results/features/{run}/{subset}.parquet",
        facts_of_run,
        code=code("retrieval/**/*.py", "phases/metrics.py", "phases/rankings.py"),
    output:
        "results/metrics/{run}/{subset}/{reranker}.json",
        "results/metrics/{run}/{subset}/{reranker}.per_query.parquet",
        "results/rankings/{run}/{subset}/{reranker}.parquet",
    log:
        "logs/metrics/{run}/{subset}/{reranker}.log",
    benchmark:
        "results/benchmarks/metrics/{run}/{subset}/{reranker}.tsv"
    conda:
        "../envs/reid-repro.yaml"
    threads: RANKING_THREADS
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        settings=settings_of_reranker,
    shell:
        "reid-repro metrics {wildcards.run} {wildcards.subset} {wildcards.reranker}"
        " --threads {threads} --log {log}"


# Many settings of one re-ranker on one run, scored together: the features are read once.
rule sweep:
    input:
        "results/features/{run}/{subset}.npy",
        "results/features/{run}/{subset}.parquet",
        facts_of_run,
        code=code("retrieval/**/*.py", "phases/metrics.py", "phases/sweeps.py"),
    output:
        "results/sweeps/{paper}/{sweep}/{run}/{subset}.json",
        "results/sweeps/{paper}/{sweep}/{run}/{subset}.per_query.parquet",
    log:
        "logs/sweeps/{paper}/{sweep}/{run}/{subset}.log",
    benchmark:
        "results/benchmarks/metrics/sweeps/{paper}/{sweep}/{run}/{subset}.tsv"
    conda:
        "../envs/reid-repro.yaml"
    threads: RANKING_THREADS
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        settings=settings_of_sweep,
    shell:
        "reid-repro sweep {wildcards.paper} {wildcards.sweep} {wildcards.run} {wildcards.subset}"
        " --threads {threads} --log {log}"
