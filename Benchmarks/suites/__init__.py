"""The suites: each module has `rows(is_quick)`, a list of harness.Row. A new one is added here."""
from suites import bounds, fetch, listing, nothing, scale

# The last one leaves an S3 server at work.
ALL = [fetch, listing, bounds, scale, nothing]


def rows(is_quick):
    return [row for suite in ALL for row in suite.rows(is_quick)]
