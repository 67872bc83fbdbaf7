# Phase features: descriptors of a subset's queries and gallery, from a network or taken over.
rule extract_features:
    input:
        data_of_features,
        code=code(*TRAINING, "phases/*features.py", "phases/models.py"),
    output:
        "results/features/{run}/{subset}.npy",
        "results/features/{run}/{subset}.parquet",
    log:
        "logs/features/{run}/{subset}.log",
    benchmark:
        "results/benchmarks/features/{run}/{subset}.tsv"
    conda:
        "../envs/reid-repro.yaml"
    threads: NETWORK_THREADS
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=0 if PLAN.config.scale == "demo" else 1,
    params:
        settings=settings_of_features,
    shell:
        "reid-repro features {wildcards.run} {wildcards.subset} --threads {threads} --log {log}"
