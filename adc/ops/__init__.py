"""Every formula once, as a pure function of tensors."""
