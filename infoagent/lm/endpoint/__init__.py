"""OpenAI-compatible endpoints: client, settings, replies, checks, and what they are paid."""
