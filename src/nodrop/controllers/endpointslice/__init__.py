"""EndpointSlices and Endpoints: which pods of a Service may get traffic; pure."""
