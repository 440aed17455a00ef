//! What goes wrong with Prometheus and the ledger.
