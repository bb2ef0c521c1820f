"""What the benchmarks of the EVM run: rows of work, the same for every engine and peer."""
