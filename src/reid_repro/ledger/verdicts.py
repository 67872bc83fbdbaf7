"""From evidence to a verdict: pure functions, the same for every paper (docs/verdicts.md).

A printed value is held against ours by an interval and a band (two one-sided tests,
equivalence). A claim is taken apart into comparisons; each is supported, opposed or open, and the
claim is never called better than they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import binomtest

from reid_repro.ledger.predicate_types import Reason, Unknown
from reid_repro.ledger.statistics import Array, interval
from reid_repro.verdict_settings import ClaimSettings, ValueSettings

ValueVerdict = Literal["reproduced", "exceeds", "below", "inconclusive"]
ClaimVerdict = Literal[
    "reproduced",
    "partially",
    "not_reproduced",
    "inconclusive",
    "paper_inconsistent",
    "not_run",
]
Support = Literal["supported", "in_part", "opposed", "open", "unknown"]

WORDS: dict[Support, str] = {
    "supported": "supported",
    "in_part": "supported in part",
    "opposed": "opposed",
    "open": "open",
    "unknown": "without evidence",
}


def band_of(metric: str, seed_sd: float | None, settings: ValueSettings) -> float:
    """Half-width, in points, of the band in which two values of a metric are the same."""
    return max(settings.band.of(metric), settings.seed_sds * (seed_sd or 0.0))


def value_verdict(
    difference: Array, *, band: float, seeds: int, settings: ValueSettings
) -> tuple[ValueVerdict, str]:
    """A printed value beside ours, and why: `difference` (1 + B,) is ours - printed in points."""
    ends = interval(difference, settings.level)
    if ends is None:
        return "inconclusive", "no resamples, so no interval"
    low, high = ends
    span = f"{settings.level:.0%} interval of the difference {low:+.2f} to {high:+.2f}"
    if seeds < settings.seeds:
        few = f"{seeds} seed{'s' if seeds > 1 else ''}, {settings.seeds} needed"
        return "inconclusive", f"{few}; {span}"
    if -band <= low and high <= band:
        return "reproduced", f"{span}, inside +-{band:.2f}"
    if low > band:
        return "exceeds", f"{span}, above +{band:.2f}"
    if high < -band:
        return "below", f"{span}, below -{band:.2f}"
    return "inconclusive", f"{span}, across an end of +-{band:.2f}"


@dataclass(frozen=True)
class Finding:
    """What is known about one comparison of a claim.

    `share` is the part of `resamples` in which it holds, None for what has no uncertainty: tests,
    counts, sizes. `p` is of the paired test after Holm's correction, None where no such test
    applies. `overlap` says that single seeds are compared whose difference may be one of seeds
    (weak_evidence.py); `close`, that times lie within noise.
    `size` says whether the size that the claim names fits: None where it names none, "unjudged"
    where sizes are another matter than at paper scale. `coverage` is the share of the rows that the
    claim compares with which are measured.
    """

    holds: bool | None
    share: float | None = None
    resamples: int = 0
    p: float | None = None
    overlap: bool = False
    close: bool = False
    size: bool | Literal["unjudged"] | None = None
    unknown: Unknown | None = None
    coverage: float = 1.0


def support(finding: Finding, settings: ClaimSettings) -> Support:
    """Whether a comparison is supported, opposed or open."""
    if finding.unknown is not None or finding.holds is None:
        return "unknown"
    if finding.overlap or finding.close:
        return "open"
    if not _is_clear(finding, settings):
        return "open"
    if not finding.holds:
        return "opposed"
    if finding.coverage < settings.part:
        return "open"
    return "supported" if finding.size in (True, None) and finding.coverage == 1 else "in_part"


def _is_clear(finding: Finding, settings: ClaimSettings) -> bool:
    """Whether the resamples, and the paired test where there is one, leave no doubt.

    What is measured decides which way: a comparison that does not hold is opposed by the same
    strength of evidence that would support it.
    """
    if finding.share is None:
        return True
    share = finding.share if finding.holds else 1 - finding.share
    if finding.p is None:
        return share >= settings.certainty
    return (
        share >= settings.improvement
        and _lower_end(share, finding.resamples, settings.level) > settings.lower
        and finding.p < settings.alpha
    )


def _lower_end(share: float, resamples: int, level: float) -> float:
    """Of the exact (Clopper-Pearson) interval of a share of so many resamples."""
    held = round(share * resamples)
    return float(binomtest(held, resamples).proportion_ci(confidence_level=level).low)


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict, its code where evidence is missing, and a sentence that says why."""

    verdict: ClaimVerdict
    reason: str
    code: Reason | Literal[""] = ""


def claim_verdict(
    on_paper: bool | None,
    findings: Sequence[Finding],
    settings: ClaimSettings,
    whole: Finding | None = None,
) -> Judgement:
    """The verdict on a claim.

    `on_paper` says whether it holds on the paper's own cells, None where they do not tell.
    `findings` are its different comparisons. Where a claim is more than all of them together
    ("any", "at least eight of ten"), `whole` is what is known of it as one.
    """
    ours = _of_whole(whole, settings) if whole else _of_all(findings, settings)
    if on_paper is False:
        said = f"ours: {_words(ours.verdict)} ({ours.reason})"
        return Judgement("paper_inconsistent", f"fails on the paper's own cells; {said}")
    return ours


def _words(verdict: str) -> str:
    return verdict.replace("_", " ")


def _of_whole(whole: Finding, settings: ClaimSettings) -> Judgement:
    found = support(whole, settings)
    if found == "unknown":
        return _not_run([whole])
    share = "" if whole.share is None else f"; it holds in {whole.share:.0%} of the resamples"
    verdicts: dict[Support, ClaimVerdict] = {
        "supported": "reproduced",
        "in_part": "partially",
        "opposed": "not_reproduced",
        "open": "inconclusive",
    }
    qualified = _qualified([whole], [found])
    return Judgement(verdicts[found], f"the claim as a whole is {WORDS[found]}{share}{qualified}")


def _of_all(findings: Sequence[Finding], settings: ClaimSettings) -> Judgement:
    """A claim that is all its comparisons together."""
    supports = [support(finding, settings) for finding in findings]
    count = Counter(supports)
    known = len(supports) - count["unknown"]
    if known == 0:
        return _not_run(findings)
    code: Reason | Literal[""] = _commonest(findings).code if count["unknown"] else ""
    told = _counted(count, len(supports)) if len(supports) > 1 else _told(findings[0], supports[0])
    reason = told + _qualified(findings, supports) + _missing(findings)
    right = count["supported"] + count["in_part"]
    if count["opposed"]:
        mixed = right >= settings.part * known
        return Judgement("partially" if mixed else "not_reproduced", reason, code)
    if known < settings.part * len(supports):
        return Judgement("not_run", reason, code)
    if count["supported"] == len(supports):
        return Judgement("reproduced", reason)
    verdict: ClaimVerdict = "partially" if right >= settings.part * known else "inconclusive"
    return Judgement(verdict, reason, code)


def _not_run(findings: Sequence[Finding]) -> Judgement:
    unknown = _commonest(findings)
    return Judgement("not_run", unknown.sentence, unknown.code)


def _commonest(findings: Sequence[Finding]) -> Unknown:
    """The reason that most of what is missing gives, the first one of several."""
    reasons = [finding.unknown for finding in findings if finding.unknown is not None]
    if not reasons:
        return Unknown("not_printed", "the claim compares nothing that is measured")
    return Counter(reasons).most_common(1)[0][0]


def _told(finding: Finding, found: Support) -> str:
    """A single comparison in words."""
    share = "" if finding.share is None else f"; holds in {finding.share:.0%} of the resamples"
    p = "" if finding.p is None else f", p = {finding.p:.2g} after Holm's correction"
    return f"the comparison is {WORDS[found]}{share}{p}"


def _counted(count: Counter[Support], total: int) -> str:
    parts = [f"{count[name]} {WORDS[name]}" for name in WORDS if count[name]]
    return f"of {total} comparisons: {', '.join(parts)}"


def _qualified(findings: Sequence[Finding], supports: Sequence[Support]) -> str:
    """Why comparisons are open, or supported in part."""
    pairs = list(zip(findings, supports, strict=True))
    in_part = [finding for finding, found in pairs if found == "in_part"]
    is_open = [finding for finding, found in pairs if found == "open"]
    coverage = min((finding.coverage for finding in findings), default=1.0)
    notes = {
        "the size is judged at paper scale": any(f.size == "unjudged" for f in in_part),
        "the size is off, or not settled": any(f.size is False for f in in_part),
        "single seeds, not told apart": any(f.overlap for f in is_open),
        "times within noise": any(f.close for f in is_open),
        "not significant after Holm's correction": any(_is_weak(f) for f in is_open),
        f"{coverage:.0%} of the rows are measured": coverage < 1 and bool(in_part or is_open),
    }
    said = [note for note, holds in notes.items() if holds]
    return f" ({'; '.join(said)})" if said else ""


def _is_weak(finding: Finding) -> bool:
    """Whether a comparison is open for want of significance alone."""
    return finding.p is not None and not finding.overlap and not finding.close


def _missing(findings: Sequence[Finding]) -> str:
    sentences = dict.fromkeys(f.unknown.sentence for f in findings if f.unknown is not None)
    return f"; without evidence: {'; '.join(sentences)}" if sentences else ""
