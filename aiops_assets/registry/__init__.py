"""Which version is served: judging a challenger, loading what was verified, promotion, rollback, putting right."""
