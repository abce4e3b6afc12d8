"""The certificate authority of a mesh: root, intermediate, tickets and the signing of CSRs."""
