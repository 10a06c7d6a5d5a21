"""The wire: names, messages and record data. Pure; imports nothing of ours."""
