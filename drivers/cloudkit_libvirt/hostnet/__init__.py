"""What libvirt does not do itself on the host's side of its bridges: routing, translation, filters.

``topology`` says what is wanted, as the records have it; ``rules`` writes that as one nft script; ``host`` runs
commands where libvirt runs; ``reconcile`` brings the host to what is wanted.
"""
