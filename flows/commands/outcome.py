"""What a run came to, as the commands for archives tell it at a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from demoire.wording import duration
from flows import console
from pipelines.names import shown

if TYPE_CHECKING:
    from pipelines.fixity.findings import Findings
    from pipelines.job import ObjectList, RunSummary

WHAT = ("what", "how much")  # columns of a table of figures


def show_summary(summary: "RunSummary", *, as_json: bool) -> None:
    """What a run came to, as a table and the path of its report, or as JSON."""
    if as_json:
        console.emit_json(summary)
        return
    title = f"done in {duration(summary.seconds)}, count proved"
    rows: list[Sequence[Any]] = [
        ("images", summary.images),
        ("cleaned", summary.cleaned),
        ("copied, byte for byte", summary.copied),
        ("quarantined, byte for byte", summary.quarantined),
        ("other members, untouched", summary.others),
        ("withheld, not in the mirror", summary.withheld),
        ("megapixels", summary.megapixels),
        ("megapixels a second", summary.mps or None),
        ("moiré of the cleaned, before", summary.moire_before),
        ("moiré of the cleaned, after", summary.moire_after),
    ]
    console.show_table(title, WHAT, rows)
    if summary.pruned:
        typer.echo(f"removed from the mirror, as it has left SRC: {summary.pruned:,} objects")
    show_differences(summary.foreign, summary.left)
    for name in summary.withheld_names:
        typer.echo(f"withheld: {shown(name)}")
    if summary.withheld > len(summary.withheld_names):
        more = summary.withheld - len(summary.withheld_names)
        typer.echo(f"withheld: {more:,} more, all named in the report")
    typer.echo(f"report: {summary.report}")


def show_differences(foreign: "ObjectList", left: "ObjectList") -> None:
    """Name what is under DST and was not made of what is in SRC."""
    if foreign.count:
        typer.echo(
            f"not this program's, or changed since, and left as it is: {_names(foreign)}; "
            "move it away and run the same command again to have its mirror there"
        )
    if left.count:
        typer.echo(
            f"no longer in SRC, still in the mirror: {_names(left)}; `demoire clean --prune` "
            "removes it"
        )


def show_quarantine(dst: str) -> None:
    """Say why images are in quarantine, the most frequent reason first."""
    from pipelines.report.build import quarantine_in_report
    from pipelines.storage.open import open_place

    reasons = quarantine_in_report(open_place(dst))
    if not reasons:
        return
    most_first = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    counted = ", ".join(f"{count:,} {reason}" for reason, count in most_first)
    typer.echo(
        f"in quarantine: {counted}; the report says what to do about each, and "
        "`demoire retry` tries them again"
    )


def show_checksums(dst: str) -> None:
    """Say which checksums that lie in the archive do not hold for the cleaned files."""
    from pipelines.fixity.findings import read_findings
    from pipelines.storage.open import open_place

    findings = read_findings(open_place(dst))
    if findings is None:
        return
    for sentence in _checksum_sentences(findings):
        typer.echo(sentence)


def _checksum_sentences(findings: "Findings") -> list[str]:
    sentences: list[str] = []
    in_archives = [checked for checked in findings.stale if checked.member]
    loose = [checked for checked in findings.stale if not checked.member]
    if findings.updated:
        sentences.append(f"checksum lists rewritten in the mirror: {len(findings.updated):,}")
    if loose:
        sentences.append(
            f"checksum lists that no longer hold in the mirror: {len(loose):,}, such as "
            f"{shown(loose[0].path)}; the same command with --fixity update rewrites them"
        )
    if in_archives:
        sentences.append(
            f"checksum lists that no longer hold inside archives: {len(in_archives):,}; "
            "the report names them"
        )
    return sentences


def _names(objects: "ObjectList") -> str:
    names = ", ".join(objects.first)
    more = objects.count - len(objects.first)
    return f"{names} and {more:,} more" if more else names


def show_counts(title: str, what: str, counts: Mapping[str, int]) -> None:
    """A table of counts, where there are any."""
    if counts:
        console.show_table(title, (what, "files"), sorted(counts.items()))
