# Phases parts and keypoints: a detector a kind is trained, or its weights are taken over; each
# dataset that a network reads with boxes or joints gets them detected, or imported. Rendered sets
# also know the true ones, which say how good the detected ones are.
rule train_detector:
    input:
        data_of_detector,
        code_of_detector,
        code=code("phases/detectors.py"),
    output:
        "results/detectors/{kind}/weights.safetensors",
        "results/detectors/{kind}/history.csv",
        "results/detectors/{kind}/detector.json",
    log:
        "logs/detectors/{kind}.log",
    benchmark:
        "results/benchmarks/places/detectors/{kind}.tsv"
    # Two phases wait for it, and each of them for a long training.
    priority: 2
    conda:
        "../envs/reid-repro.yaml"
    threads: NETWORK_THREADS
    resources:
        mem_mb=8000,
        runtime=2880,
        gpu=0 if PLAN.config.scale == "demo" else 1,
    params:
        settings=settings_of_detector,
    shell:
        "reid-repro detector {wildcards.kind} --threads {threads} --log {log}"


rule detect:
    input:
        data_of_detection,
        code_of_detector,
        code=code("phases/detection.py", "phases/detectors.py"),
    output:
        "results/{kind}/{dataset}/{kind}.parquet",
        "results/{kind}/{dataset}/summary.json",
    log:
        "logs/{kind}/{dataset}.log",
    benchmark:
        "results/benchmarks/places/{kind}/{dataset}.tsv"
    priority: 2
    conda:
        "../envs/reid-repro.yaml"
    threads: NETWORK_THREADS
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=0 if PLAN.config.scale == "demo" else 1,
    params:
        settings=settings_of_detection,
    shell:
        "reid-repro {wildcards.kind} {wildcards.dataset} --threads {threads} --log {log}"


rule true_places:
    input:
        "results/data/{dataset}/images.parquet",
        "results/data/{dataset}/annotations.parquet",
        code=code("datasets/places.py", "phases/places.py"),
    output:
        "results/{kind}/{dataset}/truth.parquet",
    log:
        "logs/{kind}/{dataset}.truth.log",
    benchmark:
        "results/benchmarks/places/{kind}/{dataset}.truth.tsv"
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "reid-repro true-places {wildcards.kind} {wildcards.dataset} --log {log}"


# On the images of identities that no detector has seen.
rule score_places:
    input:
        data_files_of_wildcard,
        annotations_of_detector,
        "results/{kind}/{dataset}/{kind}.parquet",
        code=code("phases/detection_scores.py"),
    output:
        "results/{kind}/{dataset}/evaluation.json",
    log:
        "logs/{kind}/{dataset}.scores.log",
    benchmark:
        "results/benchmarks/places/{kind}/{dataset}.scores.tsv"
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "reid-repro score-places {wildcards.kind} {wildcards.dataset} --log {log}"


rule places_sheet:
    input:
        data_files_of_wildcard,
        scores_of_places,
        "results/{kind}/{dataset}/{kind}.parquet",
        "results/{kind}/{dataset}/summary.json",
        code=code("reporting/*.py", "models/layers/regions.py", "keypoints/joints.py"),
    output:
        "results/figures/{kind}/{dataset}.webp",
        "results/figures/{kind}/{dataset}.json",
    log:
        "logs/figures/{kind}/{dataset}.log",
    benchmark:
        "results/benchmarks/report/{kind}/{dataset}.tsv"
    priority: PRESENTATION
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    shell:
        "reid-repro places-sheet {wildcards.kind} {wildcards.dataset} --log {log}"
