"""WebAssembly contracts: `validation` says which may run, `metering` makes them count gas, `engine` runs them."""
