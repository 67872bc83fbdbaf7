# Phase report: the pages, and the images that they show.
rule report:
    input:
        all_tables(),
        all_figures(),
        "results/tables/summary.json",
        [f"results/models/{run}/run.json" for run in PLAN.trainings],
        all_places(),
        [f"results/data/{dataset}/dataset.json" for dataset in PLAN.datasets],
        singles(".json"),
        sweeps(".json"),
        all_times(),
        all_measures(),
        all_looks(),
        all_judged(),
        [f"results/detectors/{kind}/detector.json" for kind in PLAN.detectors],
        templates=sorted(glob("report/templates/**/*.html", recursive=True)),
        static=sorted(glob("report/static/*")),
        decisions="workflow/deviations.yaml",
        errata="workflow/papers/errata.csv",
        code=code("reporting/*.py"),
    output:
        all_pages(),
        directory("report/assets"),
    log:
        "logs/report.log",
    benchmark:
        "results/benchmarks/report/pages.tsv"
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings_of_report,
    shell:
        "reid-repro report --log {log}"
