"""Records → tables, plots and a self-contained page."""
