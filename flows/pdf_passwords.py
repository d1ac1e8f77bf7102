"""`--pdf-password-file FILE`: from a file to this process, which hands them to its workers.

The command line and the environment name the file and never a password, so that none can be seen in
a list of processes.
"""

import os
from pathlib import Path

from demoire.imaging.pdf.passwords import read_password_file, use_passwords

PASSWORD_FILE = "DEMOIRE_PDF_PASSWORD_FILE"


def keep_pdf_passwords(file: Path | None) -> None:
    """Try encrypted PDF files with the passwords in this file.

    Args:
        file: One password a line. None: the file that DEMOIRE_PDF_PASSWORD_FILE names, if any.

    Raises:
        UsageError: The file cannot be read, or holds no password.
    """
    named = os.environ.get(PASSWORD_FILE)
    if file is None and named:
        file = Path(named)
    use_passwords(() if file is None else read_password_file(file))
