"""The sandbox levels and copy methods with which workspaces are tested."""

KINDS = [
    ("full", "overlay"),
    ("namespaced", "overlay"),
    ("namespaced", "reflink"),
    ("namespaced", "checkout"),
    ("restricted", "checkout"),
    ("off", "checkout"),
]
