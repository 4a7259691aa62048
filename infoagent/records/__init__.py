"""Typed records: what an evaluation writes to disk and reads again, the one place that knows its JSON."""
