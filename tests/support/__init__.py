"""What real-server tests are made of; see docs/testing.md."""
