# Phase tables: the tables of each paper, the curves and lists of each variant, sample sheets.
rule table:
    input:
        sources_of_table,
        code=code("ledger/*.py"),
    output:
        "results/tables/{paper}/{table}.csv",
    log:
        "logs/tables/{paper}/{table}.log",
    benchmark:
        "results/benchmarks/report/tables/{paper}/{table}.tsv"
    priority: PRESENTATION
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings_of_table,
    shell:
        "reid-repro table {wildcards.paper} {wildcards.table} --log {log}"


rule summary:
    input:
        metrics_of(PLAN.runs, ".json"),
        code=code("ledger/*.py"),
    output:
        "results/tables/summary.json",
    log:
        "logs/tables/summary.log",
    benchmark:
        "results/benchmarks/report/tables/summary.tsv"
    priority: PRESENTATION
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "reid-repro summary --log {log}"


# The curves and ranked lists of all variants of a paper on a dataset in one job: drawing takes less
# time than a start of Python and matplotlib.
for paper, dataset in DRAWN:

    rule:
        name:
            f"figures_{paper}_{dataset}".replace("-", "_")
        input:
            facts_of_dataset(dataset),
            sources_of_figures(paper, dataset),
            code=code(
                "ledger/*.py",
                "reporting/*.py",
                "phases/figures.py",
                "measures/recipes.py",
            ),
        output:
            figures_of(paper, dataset),
        log:
            f"logs/figures/{paper}/{dataset}.log",
        benchmark:
            f"results/benchmarks/report/figures/{paper}/{dataset}.tsv"
        priority: PRESENTATION
        conda:
            "../envs/reid-repro.yaml"
        resources:
            mem_mb=4000,
            runtime=30,
        params:
            paper=paper,
            dataset=dataset,
            settings=settings_of_figures(paper),
        shell:
            "reid-repro figures {params.paper} {params.dataset} --log {log}"


rule sweep_figure:
    input:
        "results/tables/{paper}/{figure}.csv",
        code=code("reporting/*.py"),
    output:
        "results/figures/{paper}/{figure}.svg",
    log:
        "logs/figures/{paper}/{figure}.log",
    benchmark:
        "results/benchmarks/report/figures/{paper}/{figure}.tsv"
    priority: PRESENTATION
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=lambda wildcards: PLAN.papers[wildcards.paper]
        .figures[wildcards.figure]
        .model_dump_json(),
    shell:
        "reid-repro sweep-figure {wildcards.paper} {wildcards.figure} --log {log}"


rule sample_sheet:
    input:
        data_of_dataset,
        code=code("reporting/*.py"),
    output:
        "results/figures/samples/{dataset}.webp",
        "results/figures/samples/{dataset}.json",
    log:
        "logs/figures/samples/{dataset}.log",
    benchmark:
        "results/benchmarks/report/samples/{dataset}.tsv"
    priority: PRESENTATION
    conda:
        "../envs/reid-repro.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    shell:
        "reid-repro samples {wildcards.dataset} --log {log}"
