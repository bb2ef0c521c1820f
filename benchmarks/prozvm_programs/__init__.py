"""Programs of ProzVM, run in every way there is: for `differential_prozvm.py` and its test."""
