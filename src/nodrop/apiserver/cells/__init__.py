"""What ``kubectl get`` shows of each kind: columns and cells, pure, one file a group of kinds."""
