"""Other people's tools: their studies read into a ledger."""
