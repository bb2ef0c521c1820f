"""WebAssembly modules that nobody wrote: valid ones, broken ones, and what must hold for either."""
