"""HTTP serving: what the servers of this package share, and a chat model behind OpenAI's protocol."""
