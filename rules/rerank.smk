# Phase metrics: each ranking of each run, scored. `none` is the bare distance.
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
    threads: 2
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        settings=settings_of_reranker,
    shell:
        "reid-repro metrics {wildcards.run} {wildcards.subset} {wildcards.reranker}"
        " --threads {threads} --log {log}"
