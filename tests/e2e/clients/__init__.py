"""Programs that use nodrop by client libraries, as their users write them; run by test_clients."""
