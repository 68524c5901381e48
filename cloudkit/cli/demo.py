"""``cloudkit demo``: run the story and show each step."""

from __future__ import annotations

import argparse
import sys

FAKE = "fake://"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--cloud", metavar="NAME", help="a profile or a URL; by default the configured cloud")
    parser.add_argument("--keep", action="store_true", help="leave what was made, for `cloudkit sweep` to delete")


def run(args: argparse.Namespace) -> int:
    """Run the story; 0 if no step failed."""
    from cloudkit import connect
    from cloudkit.cli.output import step_list, summary
    from cloudkit.cli.story import run_story
    from cloudkit.config import configured_cloud

    name = args.cloud or configured_cloud()
    if name is None:
        name = FAKE
        print("No cloud is configured: this runs on the fake, which lives in this process only.")
    with connect(name) as cloud:
        print(f"The story on {cloud.name} (driver {cloud.driver_name}, project {cloud.project_id})\n", flush=True)
        with step_list() as observer:
            result = run_story(cloud, observer, keep=args.keep)
    print(f"\n{summary(result.outcomes)}")
    if args.keep:
        print(f"Kept; the private key is in {result.folder}. To delete the rest:")
        print(f"  cloudkit sweep --cloud {name!r} --name {result.scope} --delete")
    sys.stdout.flush()
    return 0 if result.ok else 1
