"""WebAssembly contracts. `binary` reads and writes modules, `validation` says which ones may run."""
