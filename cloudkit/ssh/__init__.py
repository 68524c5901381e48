"""Shells into servers: verified host keys from the first contact on, commands, files.

paramiko speaks the protocol; it is imported when the first shell is opened.
"""

from cloudkit.ssh.connect import open_shell
from cloudkit.ssh.shell import CommandResult, Shell

__all__ = ["CommandResult", "Shell", "open_shell"]
