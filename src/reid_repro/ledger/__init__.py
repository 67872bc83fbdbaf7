"""From per-query results to intervals and tables."""
