"""The rules for inlines, by the names of their modules; one a line in any order under each heading."""

RULES = (
    # stress

    # code and characters

    # links and images

    # references and addresses

    # breaks and typography

)
