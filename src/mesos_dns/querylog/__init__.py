"""The query log: what of it is a matter of values. Which answers are in it, and their forms. Pure."""
