"""The ReplicaSet controller: keeps a number of pods; pure."""
