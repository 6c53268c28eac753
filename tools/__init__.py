"""What the make targets run. Plain Python; nothing here is shipped in an addon."""
