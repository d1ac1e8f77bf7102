"""Sources: what SRC holds, the members of each, their bytes, and archives written anew.

`discover` lists archives and folders of loose files under SRC (a folder, a bucket prefix, a glob,
one archive, one image). `index` lists the members of one. `read` gives the payloads of some of
them. Each format is one module in `formats`, which says what a format has to have. Archives are
written anew by splicing (`splice`).

`unsafe` members are image-named but not cleaned: names that leave their folder, sparse files, and
in folders links and devices of any name. They have a row in the report, quarantined as
`unsafe_name`.
"""
