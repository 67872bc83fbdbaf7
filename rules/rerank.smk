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


# All sweeps of a paper on one run, scored in one job: the features are read once. Which sweeps a
# paper has is a matter of its file, so that each paper has a rule of its own.
for paper, names in {
    name: list(PLAN.papers[name].sweeps) for name in PLAN.papers
}.items():
    if not names:
        continue

    rule:
        name:
            f"sweep_{paper}"
        input:
            "results/features/{run}/{subset}.npy",
            "results/features/{run}/{subset}.parquet",
            facts_of_run,
            code=code("retrieval/**/*.py", "phases/metrics.py", "phases/sweeps.py"),
        output:
            expand(
                "results/sweeps/{paper}/{sweep}/{{run}}/{{subset}}{end}",
                paper=paper,
                sweep=names,
                end=(".json", ".per_query.parquet"),
            ),
        log:
            f"logs/sweeps/{paper}/{{run}}/{{subset}}.log",
        benchmark:
            f"results/benchmarks/metrics/sweeps/{paper}/{{run}}/{{subset}}.tsv"
        conda:
            "../envs/reid-repro.yaml"
        threads: RANKING_THREADS
        resources:
            mem_mb=8000,
            runtime=240,
        params:
            paper=paper,
            settings=settings_of_sweeps(paper),
        shell:
            "reid-repro sweep {params.paper} {wildcards.run} {wildcards.subset}"
            " --threads {threads} --log {log}"
