# Phase keypoints: the joints of a pedestrian. Rendered sets know them exactly.
rule true_keypoints:
    input:
        "results/data/{dataset}/images.parquet",
        "results/data/{dataset}/annotations.parquet",
        code=code("datasets/places.py", "phases/places.py"),
    output:
        "results/keypoints/{dataset}/truth.parquet",
    log:
        "logs/keypoints/{dataset}.log",
    benchmark:
        "results/benchmarks/data/{dataset}.keypoints.tsv"
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "reid-repro keypoints {wildcards.dataset} --log {log}"
