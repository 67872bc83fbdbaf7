"""Public implementations to compare with: installed apart, imported only in a line's own process.

    python benchmarks/retrieval_peers.py        install them into build/peers

The peers are pinned in `peers.txt` and installed without their dependencies beside the locked
environment, not into it. None of their code is changed; these things are done from outside:

* packages whose `__init__` imports training code are entered without running it (`enter`);
* fast-reid's Cython evaluator is compiled with its own setup script, by the Cython of `peers.txt`;
* torchreid's release on the package index lacks the source of its Cython evaluator, so that one is
  taken, compiled, from pyppbox-torchreid, which carries torchreid's package under another name.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from retrieval_line import PeerMissingError

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "build" / "peers"
REQUIREMENTS = Path(__file__).with_name("peers.txt")
PROBLEMS = "problems.json"  # what did not install, and why

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def enter(name: str) -> types.ModuleType:
    """Import a module of a peer without running the `__init__` of the packages around it.

    Raises:
        PeerMissingError: it is not in `SITE`, or does not import.
    """
    if str(SITE) not in sys.path:
        sys.path.append(str(SITE))  # at the end: what the environment has, it keeps
    parts = name.split(".")
    for depth in range(1, len(parts)):
        package = ".".join(parts[:depth])
        if package not in sys.modules:
            module = types.ModuleType(package)
            module.__path__ = [str(SITE.joinpath(*parts[:depth]))]
            sys.modules[package] = module
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PeerMissingError(_reason(parts[0], error)) from error


def _reason(package: str, error: ImportError) -> str:
    record = SITE / PROBLEMS
    problems = json.loads(record.read_text()) if record.exists() else {}
    if not SITE.exists():
        return f"{package} is not installed: run python benchmarks/retrieval_peers.py"
    return f"{package}: {problems.get(package, error)}"


def fastreid_evaluator() -> Any:
    """fast-reid's compiled evaluator: (distances, ids, ids, cameras, cameras, ranks)."""
    return enter("fastreid.evaluation.rank_cylib.rank_cy").evaluate_cy


def torchreid_evaluator(*, compiled: bool) -> Any:
    """torchreid's evaluator, compiled or in Python, with the arguments of fast-reid's."""
    if compiled:
        return enter("pyppbox_torchreid.metrics.rank_cylib.rank_cy").evaluate_cy
    return enter("torchreid.reid.metrics.rank").eval_market1501


def torchreid_reranking() -> Any:
    """torchreid's k-reciprocal re-ranking: (q x g, q x q, g x g distances)."""
    return enter("torchreid.reid.utils.rerank").re_ranking


def fastreid_jaccard() -> Any:
    """fast-reid's Jaccard distance of k-reciprocal encodings from features, n x n."""
    return enter("fastreid.utils.compute_dist").compute_jaccard_distance


def fastreid_reranking() -> Any:
    """fast-reid's k-reciprocal re-ranking from distance matrices, like torchreid's."""
    return enter("fastreid.evaluation.rerank").re_ranking


def fastreid_expansion() -> Any:
    """fast-reid's alpha query expansion of queries and gallery."""
    return enter("fastreid.evaluation.query_expansion").aqe


def faiss_library() -> Any:
    """The faiss module, with as many threads as torch has."""
    faiss = enter("faiss")
    faiss.omp_set_num_threads(torch.get_num_threads())
    return faiss


def faiss_search(nodes: FloatArray, k: int, *, inner_product: bool) -> tuple[FloatArray, IntArray]:
    """Exact search of all nodes among themselves by a flat index."""
    faiss = faiss_library()
    kind = faiss.IndexFlatIP if inner_product else faiss.IndexFlatL2
    index = kind(nodes.shape[1])
    index.add(nodes)
    distances, indices = index.search(nodes, k)
    return distances, indices


def fastreid_k_reciprocal(query: FloatArray, gallery: FloatArray) -> FloatArray:
    """fast-reid's test-time path on the CPU: faiss neighbours, Jaccard, blended with the original.

    Its own defaults (k1 20, k2 6, lambda 0.3) and its Euclidean distance.
    """
    jaccard = fastreid_jaccard()
    both = torch.from_numpy(np.concatenate([query, gallery]))
    n = len(query)
    # 3 is its search on the CPU.
    reranked = jaccard(both, k1=20, k2=6, search_option=3)[:n, n:]
    squared = 2 - 2 * (both[:n] @ both[n:].T)
    return np.asarray(reranked * 0.7 + squared.clamp_(min=0).sqrt_().numpy() * 0.3)


def install() -> int:
    """Install every line of `peers.txt` into SITE and compile; the number of failures."""
    SITE.mkdir(parents=True, exist_ok=True)
    problems: dict[str, str] = {}
    for line in REQUIREMENTS.read_text().splitlines():
        requirement = line.split("#")[0].strip()
        if requirement:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
            command += ["--no-compile", "--target", str(SITE), requirement]
            package = requirement.split("==")[0].replace("-", "_")
            _run(command, SITE, package.removesuffix("_cpu"), problems)
    source = SITE / "fastreid" / "evaluation" / "rank_cylib"
    if source.exists():
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        _run(command, source, "fastreid", problems)
    (SITE / PROBLEMS).write_text(json.dumps(problems, indent=1) + "\n")
    return len(problems)


def _run(command: list[str], folder: Path, package: str, problems: dict[str, str]) -> None:
    print(package, "...", flush=True)
    environment = os.environ | {"PYTHONPATH": str(SITE)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        errors = [line for line in lines if "error" in line.lower()] or lines
        problems[package] = f"did not install: {errors[-1].strip()}"
        print("  failed:", errors[-1])


if __name__ == "__main__":
    sys.exit(1 if install() else 0)
