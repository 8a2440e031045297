"""Endpoints: what is wanted, what SageMaker says, and the way from one to the other."""
