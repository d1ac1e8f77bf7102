"""The networks that can restore, one file each. `demoire.restorer` says what they have in common and chooses."""
