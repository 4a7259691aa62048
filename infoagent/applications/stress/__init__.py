"""What a compressor and a reader do under load, and with inputs that are hard or broken."""
