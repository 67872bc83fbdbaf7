# Phase parts: the boxes of a vehicle's parts. Rendered sets know them exactly.
rule true_parts:
    input:
        "results/data/{dataset}/images.parquet",
        "results/data/{dataset}/annotations.parquet",
        code=code("datasets/places.py", "phases/places.py"),
    output:
        "results/parts/{dataset}/truth.parquet",
    log:
        "logs/parts/{dataset}.log",
    benchmark:
        "results/benchmarks/data/{dataset}.parts.tsv"
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "reid-repro parts {wildcards.dataset} --log {log}"
