"""Fields: channels and variables, their units, and data sets that come from outside."""
