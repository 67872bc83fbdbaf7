# Phase tables, its measures: what the papers' figures show, and what their networks look at. One
# job a paper and dataset: the images, networks and rankings are read once.
for paper, dataset in MEASURED:

    rule:
        name:
            f"measure_{paper}_{dataset}".replace("-", "_")
        input:
            facts_of_dataset(dataset),
            files(PLAN, paper, dataset),
            code=code(
                "measures/*.py",
                "phases/measures.py",
                "reporting/looks.py",
                "reporting/overlays.py",
                "reporting/sprites.py",
            ),
        output:
            f"results/measures/{paper}/{dataset}.parquet",
            f"results/measures/{paper}/{dataset}.json",
            looks(paper, dataset),
        log:
            f"logs/measures/{paper}/{dataset}.log",
        benchmark:
            f"results/benchmarks/report/measures/{paper}/{dataset}.tsv"
        conda:
            "../envs/reid-repro.yaml"
        threads: NETWORK_THREADS
        resources:
            mem_mb=8000,
            runtime=240,
            gpu=0 if PLAN.config.scale == "demo" else 1,
        params:
            paper=paper,
            dataset=dataset,
            settings=PLAN.settings("scale", "seeds", "features", "rerankers"),
        shell:
            "reid-repro measures {params.paper} {params.dataset} --threads {threads} --log {log}"


# With the paper's own options whatever the scale; nothing is trained for it.
if "ssrnet" in PLAN.config.papers:

    rule complexity:
        input:
            "workflow/config/paper.yaml",
            "workflow/papers/ssrnet.yaml",
            code=code(
                "networks.py",
                "phases/complexity.py",
                "models/__init__.py",
                "models/complexity.py",
                "models/ssrnet.py",
                "models/layers/*.py",
            ),
        output:
            "results/measures/ssrnet/networks.json",
        log:
            "logs/measures/ssrnet/networks.log",
        benchmark:
            "results/benchmarks/report/measures/ssrnet/networks.tsv"
        conda:
            "../envs/reid-repro.yaml"
        threads: NETWORK_THREADS
        resources:
            mem_mb=4000,
            runtime=30,
            gpu=0 if PLAN.config.scale == "demo" else 1,
        shell:
            "reid-repro complexity --threads {threads} --log {log}"
