"""From a bottle to values: noise, conditions, networks in memory, instants and tiles that are drawn."""
