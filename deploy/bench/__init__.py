"""A site on several hosts: network namespaces of this machine, or real ones over ssh."""
