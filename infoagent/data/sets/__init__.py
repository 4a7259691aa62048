"""The data sets: a file each, named in infoagent/data/registry.py."""
