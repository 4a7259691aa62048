"""Compaction inside of what people run agents with; each needs the package that it is for (extras `inspect`, `langchain`)."""
