# Phase models: one training a run. A killed one goes on from its own checkpoint, which is no
# output and therefore outlives the job.
rule train:
    input:
        data_of_run,
        code_of_network,
        code=code(*TRAINING, "phases/models.py"),
    output:
        "results/models/{run}/weights.safetensors",
        "results/models/{run}/history.csv",
        "results/models/{run}/run.json",
    log:
        "logs/models/{run}.log",
    benchmark:
        "results/benchmarks/models/{run}.tsv"
    conda:
        "../envs/reid-repro.yaml"
    threads: NETWORK_THREADS
    resources:
        mem_mb=8000,
        runtime=2880,
        gpu=gpus_of_run,
    params:
        settings=settings_of_run,
    shell:
        "reid-repro train {wildcards.run} --threads {threads} --log {log}"
