"""File formats and parsers: rows, documents, chats, and published sets, in processes apart where they need it."""
