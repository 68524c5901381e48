"""What libvirt does not do itself on the host's side of its bridges: routing, translation, filters.

``wanted`` reads from the records what is wanted, in the terms of ``topology``; ``rules`` writes that as one nft
script; ``host`` runs commands where libvirt runs; ``reconcile`` brings the host to what is wanted.
"""
