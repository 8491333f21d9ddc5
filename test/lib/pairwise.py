"""Which combinations of several factors to try when all of them are too many.

Most faults that depend on the machine depend on two of its properties at once, so `all_pairs` picks rows in
which every two values of different factors meet at least once. `product` is the full list, for `make matrix`.
Called by harness.py; pure functions, and the same factors always give the same rows in the same order, so a
test keeps its name from run to run.

The method is the greedy one of AETG (Cohen et al. 1997): each row is the combination that covers most of the
pairs still missing. The lists here have a few hundred combinations, so each of them is simply weighed.
"""

import itertools


def product(factors, allow=None):
    """Every combination that `allow` lets through, as dictionaries, the last factor turning fastest."""
    names = list(factors)
    rows = (dict(zip(names, values)) for values in itertools.product(*factors.values()))
    return [row for row in rows if allow is None or allow(row)]


def pairs_of(row):
    """The pairs ((factor, value), (factor, value)) that a row covers."""
    return set(itertools.combinations(sorted(row.items(), key=lambda item: item[0]), 2))


def all_pairs(factors, allow=None):
    """Few combinations in which every pair of values that any allowed combination has occurs."""
    rows = product(factors, allow)
    if len(factors) < 2:
        return rows
    missing = set().union(*map(pairs_of, rows)) if rows else set()
    candidates = [(row, pairs_of(row)) for row in rows]
    chosen = []
    while missing:
        # max() keeps the first of equals: the order of the factors decides, not a hash.
        row, pairs = max(candidates, key=lambda candidate: len(candidate[1] & missing))
        chosen.append(row)
        missing -= pairs
    return chosen
