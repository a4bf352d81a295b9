"""The ground that every room stands on: plain text in messages, and processes that are forked."""
