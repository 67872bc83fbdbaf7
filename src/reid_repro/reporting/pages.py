"""The HTML report: the index, a page a paper, a page a detector, from results files alone.

The pages need no network and no JavaScript: styles, script and curves are inlined, images lie
in `report/assets`. Equal results give equal bytes: no clock, host name or path enters a page.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reid_repro import __version__, deviations
from reid_repro.files import read_json
from reid_repro.paths import metrics_file, sweep_file, timing_file
from reid_repro.plan import Plan
from reid_repro.reporting import (
    cards,
    claims_view,
    formats,
    matrix,
    paper_ledger,
    paper_page,
    provenance,
    spending,
    theme,
    verdict_marks,
)
from reid_repro.reporting.assets import Assets, write
from reid_repro.reporting.stages import stages
from reid_repro.reporting.tables import dataset_title
from reid_repro.rows import every_single, swept_runs

SOURCES = Path("report")  # templates/ and static/ lie here


@dataclass(frozen=True)
class NotRun:
    """Another scale: the datasets that papers have there, and the command that runs it."""

    scale: str
    command: str
    papers: tuple[tuple[str, tuple[str, ...]], ...]  # title, datasets


def build(plan: Plan, results: Path, report: Path, *, sources: Path = SOURCES) -> list[Path]:
    """Write the pages and their files into `report`; returns the pages, the index first.

    `sources` holds `templates/` and `static/`. Raises UserError naming the first results file
    that is missing; nothing is written then.
    """
    assets = Assets()
    runs = provenance.read_runs(plan, results)
    printed = paper_ledger.read_printed(plan, results)
    judged = claims_view.read_claims(results) if printed else {}
    papers = [
        paper_page.paper_page(
            plan, name, results, assets, runs, judged.get(name, ()), printed.get(name)
        )
        for name in plan.config.papers
    ]
    summary = provenance.summary(plan, runs, _metrics(plan, results))
    verdicts, unrun = matrix.matrix(plan, judged), matrix.unrun_cells(plan, printed)
    errata = matrix.errata(plan, judged)
    common: dict[str, Any] = {
        "plan": plan,
        "origins": cards.origins(results, plan.datasets),
        "scale": plan.config.scale,
        "seeds": formats.seeds(plan.config.seeds),
        "level": formats.level(plan.config.statistics.level),
        "resamples": plan.config.statistics.resamples,
        "papers": papers,
        "stages": stages(plan, results, assets),
        "runs": runs,
        "summary": summary,
        "version": __version__,
    }
    environment = _environment(sources)
    pages = {
        paper.page: environment.get_template("paper.html").render(
            common,
            origins=cards.origins(results, plan.datasets_of(paper.name)),
            paper=paper,
            errata=[one for one in errata if paper.name in one.names],
            root="../",
        )
        for paper in papers
    }
    for stage in common["stages"]:
        pages[stage.page] = environment.get_template("stage.html").render(
            common,
            origins=cards.origins(results, [dataset.name for dataset in stage.datasets]),
            stage=stage,
            root="../",
        )
    own = [stage.kind for stage in common["stages"] if stage.detector]
    pages["index.html"] = environment.get_template("index.html").render(
        common,
        datasets=cards.dataset_cards(plan, results, assets),
        matrix=verdicts,
        unrun_items=matrix.unrun_items(verdicts, unrun),
        unrun_cells=unrun,
        errata=errata,
        spent=spending.spent(results, runs, own, summary),
        settings=_settings_digest(results) if printed else "",
        not_run=_not_run(plan),
        deviations=deviations.of_paper(deviations.read(), "all"),
        root="",
    )
    return write(report, assets, pages)[::-1]


def _metrics(plan: Plan, results: Path) -> list[dict[str, Any]]:
    """The facts of every ranking, sweep and timing.

    What a timing measures is no time of this report's rankings.
    """
    singles = [
        metrics_file(results, run, subset, name)
        for run, name in every_single(plan)
        for subset in plan.subsets(run.dataset)
    ]
    papers = plan.config.papers
    swept = [
        sweep_file(results, paper, sweep, run, subset)
        for paper in papers
        for sweep, run in swept_runs(plan, paper)
        for subset in plan.subsets(run.dataset)
    ]
    timed = [timing_file(results, paper, t) for paper in papers for t in plan.papers[paper].timings]
    facts = [read_json(file) for file in [*singles, *swept]]
    return facts + [read_json(file) | {"seconds": {}} for file in timed]


def _not_run(plan: Plan) -> list[NotRun]:
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for paper in map(plan.paper, plan.config.papers):
        for scale, names in paper.datasets.items():
            if scale != plan.config.scale and names:
                titles = tuple(dataset_title(plan, name) for name in names)
                found.setdefault(scale, []).append((paper.title, titles))
    return [
        NotRun(scale, f"snakemake --cores all --config scale={scale}", tuple(papers))
        for scale, papers in found.items()
    ]


def _settings_digest(results: Path) -> str:
    """What names the settings of the verdicts."""
    return str(read_json(results / claims_view.FILE).get("settings_digest") or "")[:12]


def _environment(sources: Path) -> Environment:
    environment = _templates(sources)
    environment.globals |= _inlined(sources / "static")
    return environment


@cache
def _templates(sources: Path) -> Environment:
    """The templates, compiled once a process; one that is edited is compiled anew."""
    environment = Environment(
        loader=FileSystemLoader(sources / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        name: getattr(formats, name)
        for name in (
            "count",
            "day",
            "duration",
            "memory",
            "millions",
            "percent",
            "plural",
            "sentence",
        )
    }
    environment.globals |= {"marks": verdict_marks, "outcomes": claims_view.OUTCOMES}
    return environment


def _inlined(static: Path) -> dict[str, Any]:
    """Style and script as they go into every page; the script's hash goes into the policy."""
    css = theme.page_css() + "\n" + (static / "report.css").read_text("utf-8")
    script = (static / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "css": Markup(css),
        "script": Markup(script),
        "script_hash": f"sha256-{digest}",
    }
