"""What a reader sees: figures from results files, and the HTML pages that hold them.

`figures` draws (curves as SVG, images as WebP), `pages` reads the results and renders the
templates of `report/templates`. Nothing here computes a result: every number comes from a file
under `results/`, except bootstrap intervals, of the curves and of what detection errors cost, which
`ledger.statistics` computes from the per-query files.
"""
