"""Reading manifests and judging them before they run."""
