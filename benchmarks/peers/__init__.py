"""The peers: what else does such work, each as well set up as can be."""
