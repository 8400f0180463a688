"""The Deployment controller: one file a concern, all of it pure."""
