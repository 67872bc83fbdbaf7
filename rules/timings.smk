# Phase metrics, its times: methods on simulated features of the printed sizes. The many threads
# are cut to the cores at hand, so that nothing else runs meanwhile on a workstation. Last of all: by
# then rankings have compiled most of what is timed, each on one core while others worked.
rule timing:
    input:
        code=code("retrieval/**/*.py", "phases/timings*.py"),
    output:
        "results/timings/{paper}/{timing}.json",
    log:
        "logs/timings/{paper}/{timing}.log",
    benchmark:
        "results/benchmarks/metrics/timings/{paper}/{timing}.tsv"
    priority: -1
    conda:
        "../envs/reid-repro.yaml"
    threads: 32
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=0 if PLAN.config.scale == "demo" else 1,
    params:
        settings=settings_of_times,
    shell:
        "reid-repro times {wildcards.paper} {wildcards.timing} --threads {threads} --log {log}"
