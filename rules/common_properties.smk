# What the rules share of properties: whether they are shown, and by which tests.
from importlib.util import find_spec

from reid_repro.ledger import printed, properties


def all_properties():
    """What tests show of the methods of all papers.

    Where only some papers are asked for they are left to `reid-repro properties`; without the tests
    or the tools that run them there are none.
    """
    asked = set(printed.papers()) <= set(PLAN.config.papers)
    here = os.path.isdir("tests") and properties.FILE.exists()
    return ["results/properties.json"] if asked and here and find_spec("pytest") else []
