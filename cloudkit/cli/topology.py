"""``cloudkit topology``: the networks of a cloud, and the routers and servers on them.

Without ``-o`` as a tree that begins with the networks that lead outside. With it as a picture in a file, like the
dashboard's page "Network Topology"; the file's ending says which kind: .svg, .png, .pdf, or .dot for Graphviz' own
language.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--cloud", metavar="NAME", help="a profile or a URL; by default the configured cloud")
    parser.add_argument("-o", "--output", metavar="FILE", help="draw a picture: .svg, .png, .pdf or .dot")


def run(args: argparse.Namespace) -> int:
    """Print the tree, or write the picture."""
    from cloudkit import connect
    from cloudkit.cli.network_map import read_map

    if args.output is not None:
        from cloudkit.cli.network_picture import Picture

        picture = Picture(args.output)
        with connect(args.cloud) as cloud:
            picture.write(read_map(cloud))
        return 0
    from cloudkit.cli.network_tree import print_tree

    with connect(args.cloud) as cloud:
        print_tree(read_map(cloud))
    return 0
