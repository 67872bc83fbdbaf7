# Phase data: images, splits and facts of each dataset.
RENDERED = [name for name in PLAN.config.datasets if PLAN.is_rendered(name)]
FOLDERS = [name for name in PLAN.config.datasets if not PLAN.is_rendered(name)]


rule render_dataset:
    input:
        code=code("rendering/*.py", "datasets/*.py", "phases/data.py"),
    output:
        "results/data/{dataset}/images.parquet",
        "results/data/{dataset}/splits.parquet",
        "results/data/{dataset}/dataset.json",
        "results/data/{dataset}/pixels.arrow",
        "results/data/{dataset}/annotations.parquet",
    log:
        "logs/data/{dataset}.log",
    benchmark:
        "results/benchmarks/data/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(RENDERED),
    conda:
        "../envs/reid-repro.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        settings=settings_of_dataset,
    shell:
        "reid-repro data {wildcards.dataset} --threads {threads} --log {log}"


rule index_dataset:
    input:
        list_of_dataset,
        code=code("datasets/*.py", "phases/data.py"),
    output:
        "results/data/{dataset}/images.parquet",
        "results/data/{dataset}/splits.parquet",
        "results/data/{dataset}/dataset.json",
    log:
        "logs/data/{dataset}.log",
    benchmark:
        "results/benchmarks/data/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(FOLDERS),
    conda:
        "../envs/reid-repro.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        settings=settings_of_dataset,
    shell:
        "reid-repro data {wildcards.dataset} --threads {threads} --log {log}"
