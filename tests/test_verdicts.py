"""Each verdict on made-up evidence: values against a band, claims from their comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reid_repro import verdict_settings
from reid_repro.errors import UserError
from reid_repro.ledger.predicate_types import Unknown
from reid_repro.ledger.verdicts import (
    ClaimVerdict,
    Finding,
    Support,
    band_of,
    claim_verdict,
    support,
    value_verdict,
)

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = verdict_settings.read(ROOT / verdict_settings.FILE)
CLAIMS = SETTINGS.claims

SURE = Finding(True, share=1.0, resamples=400, p=0.001)
OPEN = Finding(True, share=0.9, resamples=400, p=0.2)
AGAINST = Finding(False, share=0.0, resamples=400, p=0.001)
IN_PART = Finding(True, share=1.0, resamples=400, p=0.001, size=False)
MISSING = Finding(None, unknown=Unknown("no_gpu", "this machine has no GPU"))
SHOWN = Finding(True)
REFUTED = Finding(False)


def difference(mean: float, spread: float) -> np.ndarray:
    """Samples (1 + B,) around a mean, whose 90 % interval is the mean +- 0.9 spread."""
    return np.concatenate([[mean], mean + np.linspace(-spread, spread, 1001)])


@pytest.mark.parametrize(
    ("mean", "spread", "seeds", "verdict"),
    [
        (0.2, 0.5, 3, "reproduced"),
        (-0.4, 0.5, 3, "reproduced"),
        (2.5, 1.0, 3, "exceeds"),
        (-2.5, 1.0, 3, "below"),
        (0.9, 0.5, 3, "inconclusive"),  # across the upper end
        (-1.0, 0.5, 3, "inconclusive"),
        (0.0, 3.0, 3, "inconclusive"),  # wider than the band
        (0.2, 0.5, 1, "inconclusive"),  # one seed
        (9.0, 0.5, 2, "inconclusive"),
    ],
)
def test_a_value_by_its_interval_and_the_band(
    mean: float, spread: float, seeds: int, verdict: str
) -> None:
    found, reason = value_verdict(
        difference(mean, spread), band=1.0, seeds=seeds, settings=SETTINGS.values
    )
    assert found == verdict
    assert f"{mean - 0.9 * spread:+.2f} to {mean + 0.9 * spread:+.2f}" in reason
    assert ("needed" in reason) == (seeds < 3)


def test_a_value_without_resamples_is_open() -> None:
    found = value_verdict(np.array([0.0]), band=1.0, seeds=5, settings=SETTINGS.values)
    assert found == ("inconclusive", "no resamples, so no interval")


def test_the_band_is_the_noise_floor_or_two_deviations_of_the_seeds() -> None:
    assert band_of("mAP", None, SETTINGS.values) == 1.0
    assert band_of("R5", 0.1, SETTINGS.values) == 0.8
    assert band_of("R1", 0.7, SETTINGS.values) == pytest.approx(1.4)
    assert band_of("mAP", 0.7, SETTINGS.values) == pytest.approx(1.4)


@pytest.mark.parametrize(
    ("finding", "found"),
    [
        (SURE, "supported"),
        (AGAINST, "opposed"),
        (SHOWN, "supported"),
        (REFUTED, "opposed"),
        (MISSING, "unknown"),
        (Finding(True, 0.74, 400, p=0.001), "open"),  # P(A > B) below 0.75
        (Finding(True, 0.76, 400, p=0.001), "supported"),
        (Finding(True, 0.76, 4, p=0.001), "open"),  # too few resamples to tell 0.76 from 0.5
        (Finding(True, 1.0, 400, p=0.05), "open"),  # p not below alpha
        (Finding(False, 0.0, 400, p=0.05), "open"),
        (Finding(True, 0.94, 400), "open"),  # no paired test: 95 % of the resamples
        (Finding(True, 0.96, 400), "supported"),
        (Finding(False, 0.06, 400), "open"),
        (Finding(False, 0.04, 400), "opposed"),
        (Finding(True, 1.0, 400, p=0.001, overlap=True), "open"),  # single seeds
        (Finding(False, 0.0, 400, p=0.001, overlap=True), "open"),
        (Finding(True, close=True), "open"),  # times within noise
        (Finding(True, 1.0, 400, p=0.001, size=True), "supported"),
        (IN_PART, "in_part"),
        (Finding(True, 1.0, 400, p=0.001, size="unjudged"), "in_part"),
        (Finding(True, 1.0, 400, p=0.001, coverage=0.5), "in_part"),
        (Finding(True, 1.0, 400, p=0.001, coverage=0.1), "open"),
        (Finding(False, 0.0, 400, p=0.001, coverage=0.1), "opposed"),  # one better row suffices
    ],
)
def test_the_support_of_a_comparison(finding: Finding, found: Support) -> None:
    assert support(finding, CLAIMS) == found


@pytest.mark.parametrize(
    ("on_paper", "findings", "verdict"),
    [
        (True, [SURE, SURE], "reproduced"),
        (None, [SHOWN], "reproduced"),
        (True, [SURE, SHOWN], "reproduced"),
        (True, [SURE, OPEN], "partially"),
        (True, [SURE, AGAINST], "partially"),
        (True, [SURE, MISSING], "partially"),
        (True, [IN_PART], "partially"),
        (True, [SURE, IN_PART], "partially"),
        (True, [AGAINST], "not_reproduced"),
        (True, [REFUTED], "not_reproduced"),
        (True, [AGAINST, OPEN], "not_reproduced"),
        (True, [SURE, AGAINST, AGAINST], "not_reproduced"),
        (True, [AGAINST, MISSING, MISSING, MISSING], "not_reproduced"),
        (True, [OPEN], "inconclusive"),
        (True, [SURE, OPEN, OPEN], "inconclusive"),
        (True, [OPEN, MISSING], "inconclusive"),
        (False, [SURE], "paper_inconsistent"),
        (False, [AGAINST], "paper_inconsistent"),
        (False, [MISSING], "paper_inconsistent"),
        (True, [MISSING], "not_run"),
        (True, [SURE, MISSING, MISSING], "not_run"),  # most of it is missing
        (True, [], "not_run"),
    ],
)
def test_the_verdict_on_a_claim(
    on_paper: bool | None, findings: list[Finding], verdict: ClaimVerdict
) -> None:
    assert claim_verdict(on_paper, findings, CLAIMS).verdict == verdict


@pytest.mark.parametrize(
    ("whole", "verdict"),
    [
        (SURE, "reproduced"),
        (AGAINST, "not_reproduced"),
        (OPEN, "inconclusive"),
        (MISSING, "not_run"),
        (Finding(True, 1.0, 400, coverage=0.6), "partially"),
    ],
)
def test_a_claim_that_is_more_than_its_comparisons(whole: Finding, verdict: ClaimVerdict) -> None:
    """`any`, `or`, `not`: one comparison that fails does not refute it."""
    assert claim_verdict(True, [AGAINST, SURE], CLAIMS, whole).verdict == verdict


def test_reasons_say_what_is_missing_and_what_ours_gives() -> None:
    missing = claim_verdict(True, [MISSING], CLAIMS)
    assert (missing.code, missing.reason) == ("no_gpu", "this machine has no GPU")
    mixed = claim_verdict(True, [SURE, AGAINST, MISSING], CLAIMS)
    assert mixed.reason == (
        "of 3 comparisons: 1 supported, 1 opposed, 1 without evidence; "
        "without evidence: this machine has no GPU"
    )
    paper = claim_verdict(False, [AGAINST], CLAIMS)
    assert paper.reason.startswith("fails on the paper's own cells; ours: not reproduced")
    overlap = claim_verdict(True, [Finding(True, 1.0, 400, overlap=True)], CLAIMS)
    assert "single seeds, not told apart" in overlap.reason
    size = claim_verdict(True, [Finding(True, 1.0, 400, 0.001, size="unjudged")], CLAIMS)
    assert "size is judged at paper scale" in size.reason


def test_the_commonest_reason_is_the_code_of_what_was_not_run() -> None:
    other = Finding(None, unknown=Unknown("no_data", "no Oxford-5k"))
    assert claim_verdict(True, [other, MISSING, MISSING], CLAIMS).code == "no_gpu"


FINDINGS = st.sampled_from([SURE, OPEN, AGAINST, IN_PART, MISSING, SHOWN, REFUTED])
RANK = {"reproduced": 2, "partially": 1}


@given(findings=st.lists(FINDINGS, min_size=1, max_size=6), place=st.integers(0, 5))
def test_no_verdict_is_better_than_its_evidence(findings: list[Finding], place: int) -> None:
    """All comparisons are supported, or the claim is not reproduced; less support never helps."""
    verdict = claim_verdict(True, findings, CLAIMS).verdict
    supports = [support(finding, CLAIMS) for finding in findings]
    assert (verdict == "reproduced") == (set(supports) == {"supported"})
    if verdict == "partially":
        assert {"supported", "in_part"} & set(supports)
    if verdict == "not_reproduced":
        assert "opposed" in supports
    for weaker in (OPEN, AGAINST, MISSING):
        other = [*findings]
        other[place % len(findings)] = weaker
        changed = claim_verdict(True, other, CLAIMS).verdict
        if supports[place % len(findings)] == "supported":
            assert RANK.get(changed, 0) <= RANK.get(verdict, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": {"band": {"mAP": 0}}}, r"key 'values.band.mAP'.*greater than 0"),
        ({"claims": {"alpha": 5}}, r"key 'claims.alpha'.*less than 0.5"),
        ({"claims": {"alhpa": 0.05}}, r"unknown key 'claims.alhpa'; did you mean 'alpha'"),
        ({"resampling": {"resamples": 10}}, r"key 'resampling.resamples'"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    values = yaml.safe_load((ROOT / verdict_settings.FILE).read_text("utf-8"))
    for section, keys in change.items():
        for key, value in keys.items():
            old = values[section].get(key)
            values[section][key] = {**old, **value} if isinstance(value, dict) else value
    file = tmp_path / "verdicts.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UserError, match=rf"verdicts.yaml: {message}"):
        verdict_settings.read(file)


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.yaml"
    file.write_bytes(b"abc")
    assert verdict_settings.digest(file).startswith("ba7816bf8f01cfea")
    assert len(verdict_settings.digest(ROOT / verdict_settings.FILE)) == 64
