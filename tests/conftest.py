"""Being here puts this folder on the import path: test files share its helpers (`training`)."""
