"""Candidate compressions from other sources than the policy: what a reward may choose among."""
