"""Proxy scorers: can another model stand in for the compressor's own?"""
