"""The language: operations, combinators, network, elaborate, edits. Standard library only."""
