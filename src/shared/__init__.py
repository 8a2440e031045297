"""Everything that the handlers share; a handler imports operations and doors from here, never another handler."""
