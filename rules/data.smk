# Phase data: images, splits and facts of each dataset.
RENDERED = [name for name in PLAN.config.datasets if PLAN.is_rendered(name)]
FOLDERS = [name for name in PLAN.config.datasets if not PLAN.is_rendered(name)]


# What draws; the writers of folder layouts and contact sheets draw nothing of their own.
RENDERING = [
    "rendering/backdrop.py",
    "rendering/cameras.py",
    "rendering/scene.py",
    "rendering/pedestrian*.py",
    "rendering/vehicle*.py",
]


# At demo scale the sets are drawn side by side: starting processes for each takes longer.
RENDERING_THREADS = 1 if PLAN.config.scale == "demo" else 4


rule render_dataset:
    input:
        code=code(*RENDERING, "datasets/base.py", "datasets/rendered.py"),
    output:
        "results/data/{dataset}/images.parquet",
        "results/data/{dataset}/splits.parquet",
        "results/data/{dataset}/content.json",
        "results/data/{dataset}/pixels.arrow",
        "results/data/{dataset}/annotations.parquet",
    log:
        "logs/data/{dataset}.log",
    benchmark:
        "results/benchmarks/data/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(RENDERED),
    # Detectors and networks wait for it: before any two jobs that wait for another dataset only.
    priority: 10
    conda:
        "../envs/reid-repro.yaml"
    threads: RENDERING_THREADS
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        settings=settings_of_content,
    shell:
        "reid-repro data index {wildcards.dataset} --threads {threads} --log {log}"


# Not asked for by anything: `snakemake fetch --cores 1 --config scale=paper` gets what anybody may
# download; for the others the job says who gives them.
rule fetch_dataset:
    output:
        touch("results/fetched/{dataset}"),
    log:
        "logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset="|".join(FOLDERS),
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=1000,
        runtime=1440,
    shell:
        "reid-repro data fetch {wildcards.dataset} --log {log}"


rule index_dataset:
    input:
        list_of_dataset,
        code=code("datasets/base.py", "datasets/folders.py"),
        layout=layout_of_dataset,
    output:
        "results/data/{dataset}/images.parquet",
        "results/data/{dataset}/splits.parquet",
        "results/data/{dataset}/judgements.parquet",
        "results/data/{dataset}/content.json",
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
        settings=settings_of_content,
    shell:
        "reid-repro data index {wildcards.dataset} --threads {threads} --log {log}"


# Title, licence, protocol and official counts: apart, so that a changed protocol scores anew
# without drawing or training anew.
rule describe_dataset:
    input:
        "results/data/{dataset}/content.json",
        code=code("datasets/__init__.py"),
    output:
        "results/data/{dataset}/dataset.json",
    log:
        "logs/data/{dataset}.facts.log",
    benchmark:
        "results/benchmarks/data/{dataset}.facts.tsv"
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings_of_facts,
    shell:
        "reid-repro data describe {wildcards.dataset} --log {log}"
