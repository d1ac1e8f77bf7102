"""When and where: the `demoire` command and the Prefect flows."""
