# Phase tables, its verdicts: every printed cell beside ours, every claim judged. One job: the
# correction for many tests is made over all claims of a paper.
if PRINTED:

    rule judge:
        input:
            all_metrics(),
            all_measures(),
            all_properties(),
            counted(),
            verdicts="workflow/verdicts.yaml",
            benchmarks="workflow/benchmarks.yaml",
            errata="workflow/papers/errata.csv",
            values=[f"workflow/papers/values/{paper}.csv" for paper in PRINTED],
            claims=[f"workflow/papers/claims/{paper}.yaml" for paper in PRINTED],
            code=code(
                "ledger/*.py",
                "measures/recipes.py",
                "phases/judging.py",
                "benchmarks.py",
                "references.py",
                "rows.py",
                "shown.py",
                "verdict_settings.py",
            ),
        output:
            all_judged(),
        log:
            "logs/judge.log",
        benchmark:
            "results/benchmarks/report/judge.tsv"
        conda:
            "../envs/reid-repro.yaml"
        resources:
            mem_mb=4000,
            runtime=30,
        params:
            settings=settings_of_verdicts,
        shell:
            "reid-repro judge --log {log}"
