"""Version control over a store: transactions, branches, history."""
