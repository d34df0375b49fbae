"""The rules for blocks, by the names of their modules; one a line in any order under each heading."""

RULES = (
    "paragraphs",
    # headings and breaks

    # code and HTML

    # quotes and lists

    # tables and notes

)
