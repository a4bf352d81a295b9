"""What fields are: channels and variables, their units, and data sets that come from outside."""
