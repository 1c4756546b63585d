"""Pure protocols: bytes or JSON to core types and back. Opens nothing."""
