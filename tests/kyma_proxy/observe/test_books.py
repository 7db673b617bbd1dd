"""What the metrics say of the books."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from kyma_proxy.observe.books import BooksMetrics


def test_the_books_in_numbers() -> None:
    registry = CollectorRegistry()
    books = BooksMetrics(registry)
    before = generate_latest(registry).decode()
    assert 'kyma_reconciled_total{outcome="voided"} 0.0' in before, "a rate can be taken from the first one on"
    books.measured(3, 61.5)
    books.audited(2)
    for outcome in ("voided", "deleted", "deletion_failed", "deleted"):
        books.reconciled(outcome)  # type: ignore[arg-type]
    lines = generate_latest(registry).decode().splitlines()
    assert "kyma_open_holds 3.0" in lines
    assert "kyma_oldest_open_hold_seconds 61.5" in lines
    assert "kyma_ledger_problems 2.0" in lines
    assert 'kyma_reconciled_total{outcome="deleted"} 2.0' in lines
    assert 'kyma_reconciled_total{outcome="deletion_failed"} 1.0' in lines
    audited = next(line for line in lines if line.startswith("kyma_ledger_audited_timestamp_seconds "))
    assert float(audited.split()[1]) > 1_700_000_000
    books.measured(0, None)
    assert "kyma_oldest_open_hold_seconds 0.0" in generate_latest(registry).decode().splitlines()
