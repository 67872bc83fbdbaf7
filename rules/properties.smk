# Phase tables, its properties: what the papers say of their methods, shown by tests. They run where
# Snakemake does, beside the repository's tests.
if all_properties():

    rule properties:
        input:
            "workflow/properties.yaml",
            tests=properties.files(properties.read()),
            workflow=sorted(
                glob("workflow/config/*.yaml") + glob("workflow/papers/*.yaml")
            ),
            code=code(
                "models/**/*.py",
                "retrieval/**/*.py",
                "datasets/*.py",
                "parts/*.py",
                "rendering/*.py",
                "reporting/*.py",
                "training/*.py",
                "config.py",
                "methods.py",
                "networks.py",
                "paper.py",
                "plan.py",
                "rows.py",
                "runs.py",
            ),
        output:
            "results/properties.json",
        log:
            "logs/properties.log",
        benchmark:
            "results/benchmarks/report/properties.tsv"
        # Late: by then rankings have compiled most of what these tests call.
        priority: PROPERTIES
        localrule: True
        conda:
            "../envs/reid-repro.yaml"
        resources:
            mem_mb=4000,
            runtime=30,
        shell:
            "reid-repro properties --log {log}"
