"""Sources: what SRC holds, the members of each, their bytes, and archives written anew.

`discover` lists archives and folders of loose files under SRC (a folder, a bucket prefix, a glob,
one archive, one image). `index` lists the members of one. `read` gives the payloads of some of
them. Each format is one module in `formats`, which says what a format has to have. Archives are
written anew by splicing (`splice`).

`unsafe` members of archives are image-named but not cleaned: names that leave their folder, and
sparse files. They have a row in the report, quarantined as `unsafe_name`. What lies in a folder and
cannot be mirrored at all (devices, links that lead out, names that leave it) is `withheld`, and has
a row with the reason, whatever its name.
"""
