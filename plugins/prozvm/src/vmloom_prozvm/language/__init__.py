"""The contract language: from source text to values, by evaluation, by bytecode, or by both."""
