# Phase metrics: the rankings of each run, scored. `none` is the bare distance.
# At demo scale a ranking takes less time than a start of Python: runs side by side are done sooner.
RANKING_THREADS = 1 if PLAN.config.scale == "demo" else 8


# All rankings of a run in one job: the features are read once, and Python starts once. Which
# rankings there are is a matter of the papers' files, so that each paper's runs have a rule.
for paper, names in rankings_by_paper().items():

    rule:
        name:
            f"score_{paper}"
        input:
            "results/features/{run}/{subset}.npy",
            "results/features/{run}/{subset}.parquet",
            facts_of_run,
            code=code("retrieval/**/*.py", "phases/metrics.py", "phases/rankings.py"),
        output:
            expand("results/metrics/{{run}}/{{subset}}/{name}.json", name=names),
            expand(
                "results/metrics/{{run}}/{{subset}}/{name}.per_query.parquet",
                name=names,
            ),
            expand("results/rankings/{{run}}/{{subset}}/{name}.parquet", name=names),
        log:
            "logs/metrics/{run}/{subset}.log",
        benchmark:
            "results/benchmarks/metrics/{run}/{subset}.tsv"
        wildcard_constraints:
            run=rf"{paper}/[^/]+/[^/]+/seed\d+",
        conda:
            "../envs/reid-repro.yaml"
        threads: RANKING_THREADS
        resources:
            mem_mb=8000,
            runtime=240,
        params:
            names=names,
            settings=settings_of_rerankers(names),
        shell:
            "reid-repro metrics {wildcards.run} {wildcards.subset} {params.names}"
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
