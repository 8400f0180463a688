"""The Ingress controller: tells where an Ingress of our class is reached; pure."""
