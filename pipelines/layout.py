"""The names of everything under DST/_demoire."""

BOOKKEEPING = "_demoire"  # the folder under DST that holds manifest, ledger, segments and report


REPORT = f"{BOOKKEEPING}/report"
