"""Reading leads from spreadsheets: a file -> rows, without a database.

`rules` reads one cell; `reader` reads a file and calls the rules. Nothing is dropped or guessed silently:
cells that could not be read are named in the row's problems, and a row that cannot be used comes with its
reason.
"""
